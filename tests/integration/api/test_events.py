"""GET /v1/jobs/{job}/events: Server-Sent Events over a real connection."""

from __future__ import annotations

import threading

import msgspec
import pytest

import api.events
from contract import events as e
from contract.codec import encode
from contract.side_topics import AttemptProgressed
from local.services import Services
from runtime.kafka import Producer
from tests.integration.api.conftest import Caller, CallerFactory, Views
from tests.integration.api.event_streams import stream
from tests.unit.views.ledger import job_of


@pytest.fixture
def job(caller: Caller, views: Views) -> str:
    """Accepted."""
    job = job_of("main", caller.tenant)
    views.main.write(views.main.accepted(job, caller.tenant))
    views.show()
    return job


def test_a_stream_follows_a_job_to_its_end(caller: Caller, views: Views, job: str) -> None:
    ledger = views.main
    with stream(caller, job) as sse:
        assert sse.response.headers["Content-Type"].startswith("text/event-stream")
        events = sse.events()
        first_id, name, data = next(events)
        assert (name, data["event"], data["state"], data["job"]) == ("state", "JobAccepted", "queued", job)
        assert data["words"].startswith("accepted in tier free")
        for happens, state in (
            (ledger.dispatched, "dispatched"),
            (ledger.started, "started"),
            (ledger.succeeded, "succeeded"),
        ):
            ledger.write(happens(job))
            views.show()
            event_id, _, data = next(events)
            assert data["state"] == state
            assert [int(part) for part in event_id.split(".")] > [int(part) for part in first_id.split(".")]
        assert list(events) == []  # the server ended it


def test_without_following_it_tells_what_happened_so_far_and_ends(caller: Caller, views: Views, job: str) -> None:
    views.main.write(views.main.dispatched(job))
    views.show()
    answer = caller.http.get(f"/v1/jobs/{job}/events?follow=false")
    assert [line for line in answer.text.splitlines() if line.startswith("event:")] == ["event: state"] * 2
    assert "JobDispatched" in answer.text
    assert caller.http.get(f"/v1/jobs/{job}/events?follow=perhaps").status_code == 422


def test_a_stream_goes_on_after_the_last_event_seen(caller: Caller, views: Views, job: str) -> None:
    views.main.write(views.main.dispatched(job))
    views.show()
    with stream(caller, job) as sse:
        events = sse.events()
        seen = next(events)[0]
    with stream(caller, job, seen) as sse:
        events = sse.events()
        assert next(events)[2]["event"] == "JobDispatched"


def test_a_stream_begun_before_the_ledger_names_the_job(caller: Caller, views: Views) -> None:
    job = caller.submit().json()["job"]
    with stream(caller, job) as sse:
        frames = sse.frames()
        assert next(frames) == {"retry": "2000"}
        views.main.run(job, caller.tenant)
        views.show()
        states = [msgspec.json.decode(fields["data"])["state"] for fields in frames]
    assert states == ["queued", "dispatched", "started", "succeeded"]


def test_an_ended_job_is_told_whole_and_then_has_nothing_more(caller: Caller, views: Views, job: str) -> None:
    views.main.write(e.JobCancelled(job, "cancel"))
    views.main.write(e.ErasureOrdered(job))
    views.show()
    with stream(caller, job) as sse:
        events = list(sse.events())
    assert [data["event"] for _, _, data in events] == ["JobAccepted", "JobCancelled", "ErasureOrdered"]
    with stream(caller, job, events[-1][0]) as sse:
        assert sse.response.status_code == 204


def test_progress_of_the_newest_attempt_is_shown(caller: Caller, views: Views, job: str, servers: Services) -> None:
    ledger = views.main
    ledger.write(ledger.dispatched(job))
    ledger.write(ledger.started(job))
    views.show()
    producer = Producer(servers.settings.brokers, "tests")
    dispatch = ledger.dispatch(job)

    def report(fraction: float, named: str = dispatch) -> None:
        said = encode(AttemptProgressed(job, named, fraction, "step"))
        producer.send_and_wait("progress", said, key=job.encode())

    with stream(caller, job) as sse:
        events = sse.events()
        while next(events)[2].get("event") != "AttemptStarted":
            pass
        producer.send_and_wait("progress", b"not a record", key=job.encode())
        report(0.25)
        event_id, name, data = next(events)
        assert (event_id, name, data) == ("", "progress", {"dispatch": dispatch, "fraction": 0.25, "message": "step"})
        report(0.99, "1.0.0")  # an attempt that was closed long ago
        report(0.5)
        assert next(events)[2]["fraction"] == 0.5
    assert caller.http.get(f"/v1/jobs/{job}").json()["progress"]["fraction"] == 0.5
    with stream(caller, job) as sse:
        assert next(data for _, name, data in sse.events() if name == "progress")["fraction"] == 0.5
    producer.close()


def test_many_streams_of_one_job_all_see_its_end(caller: Caller, views: Views, job: str) -> None:
    begun = threading.Barrier(9)
    ended: list[str] = []

    def follow() -> None:
        with stream(caller, job) as sse:
            events = sse.events()
            next(events)
            begun.wait(10)
            ended.extend(data["state"] for _, _, data in events)

    followers = [threading.Thread(target=follow) for _ in range(8)]
    for follower in followers:
        follower.start()
    begun.wait(10)
    views.main.write(e.JobExpired(job))
    views.show()
    for follower in followers:
        follower.join(10)
    assert ended == ["expired"] * 8


def test_a_quiet_stream_is_kept_alive(caller: Caller, job: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.events, "KEEP_ALIVE_S", 0.2)
    with stream(caller, job) as sse:
        frames = sse.frames()
        while "" not in next(frames):  # a comment is a line that begins with a colon
            pass


@pytest.mark.parametrize("last_id", ["x", "1", "1.x", "-1.0", "1.2.3"])
def test_an_id_of_no_event_is_refused(caller: Caller, job: str, last_id: str) -> None:
    response = caller.http.get(f"/v1/jobs/{job}/events", headers={"Last-Event-ID": last_id})
    assert (response.status_code, response.json()["type"]) == (422, "urn:headrace:problem:event-id-invalid")


def test_streams_are_counted_while_they_last(caller_of: CallerFactory, job: str, caller: Caller) -> None:
    def open_streams() -> float:
        lines = caller.http.get("/metrics").text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("headrace_api_streams "))

    before = open_streams()
    with stream(caller, job) as sse:
        next(sse.events())
        assert open_streams() >= 1
    for _ in range(100):
        if open_streams() <= before:
            return
    pytest.fail("a stream that was closed is still counted")
