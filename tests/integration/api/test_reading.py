"""Lists, one job, cancels, models and what operators see."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from contract import events as e
from contract.codec import decode_wire
from contract.inputs import CancelRequested
from runtime.kafka import Record
from tests.integration.api.conftest import POLICY, Caller, CallerFactory, Views
from tests.unit.views.ledger import VERSION, job_of


def test_the_list_is_filtered_and_paged_newest_first(caller: Caller, views: Views) -> None:
    ledger = views.main
    jobs = [job_of("main", f"{caller.tenant}-{number}") for number in range(5)]
    for number, job in enumerate(jobs):
        if number < 2:
            ledger.run(job, caller.tenant, "api")
        else:
            ledger.write(ledger.accepted(job, caller.tenant))
    views.show()
    newest = caller.submit().json()["job"]

    seen: list[str] = []
    cursor = ""
    while True:
        page = caller.http.get("/v1/jobs", params={"limit": 2, "cursor": cursor}).json()
        seen += [job["job"] for job in page["jobs"]]
        cursor = page["cursor"]
        if not cursor:
            break
    assert seen == [newest, *jobs[::-1]]

    def found(**filters: str) -> list[str]:
        return [job["job"] for job in caller.http.get("/v1/jobs", params=filters).json()["jobs"]]

    assert found(state="succeeded") == jobs[1::-1]
    assert found(state="submitted") == [newest]
    assert found(tier="api") == jobs[1::-1]
    assert found(model="noop") == jobs[::-1]
    counts = caller.http.get("/v1/jobs/counts").json()["counts"]
    assert {(c["tier"], c["state"]): c["jobs"] for c in counts} == {("api", "succeeded"): 2, ("free", "queued"): 3}


def test_a_job_that_waits_says_when_it_is_likely_to_start(caller: Caller, views: Views) -> None:
    job = job_of("main", f"{caller.tenant}-forecast")
    ledger = views.main
    ledger.write(msgspec.structs.replace(ledger.accepted(job, caller.tenant), start_p50_ms=4_000, start_p90_ms=9_000))
    views.show()
    found = caller.http.get(f"/v1/jobs/{job}").json()["job"]
    assert (found["start_p50_ms"], found["start_p90_ms"]) == (
        found["submitted_ms"] + 4_000,
        found["submitted_ms"] + 9_000,
    )
    ledger.write(ledger.dispatched(job))
    ledger.write(ledger.started(job))
    views.show()
    assert caller.http.get(f"/v1/jobs/{job}").json()["job"]["start_p50_ms"] is None


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("state=done", "state: expected one of submitted, preparing"),
        ("tier=No!", "tier: expected a name"),
        ("limit=0", "limit: expected 1 to 200"),
        ("limit=many", "limit: expected 1 to 200"),
        ("cursor=xyz", "cursor: expected the `cursor` of an earlier page"),
        ("colour=red", "found 'colour'"),
        ("state=queued&state=started", "once"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(caller: Caller, query: str, says: str) -> None:
    response = caller.http.get(f"/v1/jobs?{query}")
    assert response.status_code == 422
    assert says in response.json()["detail"]


def test_a_job_shows_its_attempts_and_no_other_tenants_job(caller: Caller, views: Views) -> None:
    ledger = views.main
    job = job_of("main", caller.tenant)
    ledger.write(ledger.accepted(job, caller.tenant))
    ledger.write(ledger.dispatched(job))
    ledger.write(ledger.started(job))
    ledger.write(ledger.failed(job), e.JobRequeued(job, 2_000))
    ledger.write(ledger.dispatched(job, cluster="west"))
    views.show()
    response = caller.http.get(f"/v1/jobs/{job}")
    body = response.json()
    assert (body["job"]["state"], body["job"]["failures"], body["job"]["attempts"]) == ("dispatched", 1, 2)
    assert [(a["state"], a["cluster"], a["failure"]) for a in body["attempts"]] == [
        ("failed", "east", "model_error"),
        ("staged", "west", ""),
    ]
    assert job_of("main", "someone-elses") not in response.text


def test_an_attempt_that_succeeded_shows_what_it_left_and_how_long_it_loaded(caller: Caller, views: Views) -> None:
    ledger = views.main
    job = job_of("main", caller.tenant)
    ledger.write(ledger.accepted(job, caller.tenant))
    ledger.write(ledger.dispatched(job))
    ledger.write(ledger.started(job))
    views.show()
    (running,) = caller.http.get(f"/v1/jobs/{job}").json()["attempts"]
    assert (running["bytes"], running["load_ms"]) == (None, None)
    ledger.write(e.JobSucceeded(job, ledger.dispatch(job), "sha256:" + "a" * 64, bytes=2**33, load_ms=90_000))
    views.show()
    (ended,) = caller.http.get(f"/v1/jobs/{job}").json()["attempts"]
    assert (ended["bytes"], ended["load_ms"]) == (2**33, 90_000)


def test_a_cancel_is_written_with_the_keys_tenant(
    caller: Caller, views: Views, written: Callable[[], list[Record]]
) -> None:
    job = caller.submit().json()["job"]
    response = caller.http.post(f"/v1/jobs/{job}/cancel")
    assert (response.status_code, response.json()) == (202, {"job": job, "state": "submitted"})
    record = written()[-1]
    assert decode_wire(record.value) == CancelRequested(job, caller.tenant, caller.key_id)
    assert (record.partition, dict(record.headers)["ce_type"]) == (0, b"headrace.CancelRequested.v1")


def test_a_cancel_of_an_ended_job_writes_nothing(
    caller: Caller, views: Views, written: Callable[[], list[Record]]
) -> None:
    job = job_of("main", caller.tenant)
    views.main.run(job, caller.tenant)
    views.show()
    response = caller.http.post(f"/v1/jobs/{job}/cancel")
    assert (response.status_code, response.json()["state"]) == (200, "succeeded")
    assert written() == []


def test_models_show_what_they_take(caller: Caller, published: dict[str, str]) -> None:
    listed = {model["name"]: model for model in caller.http.get("/v1/models").json()["models"]}
    assert listed["echo"]["aliases"] == [{"alias": "live", "version": published["echo"]}]
    shown = caller.http.get("/v1/models/echo").json()
    assert shown["pool"] == "main"
    assert shown["versions"][0]["version"] == published["echo"]
    assert shown["versions"][0]["inputs"]["required"] == ["prompt"]
    assert caller.http.get("/v1/models/absent").status_code == 404


def test_operators_see_clusters_nodes_and_policy(caller_of: CallerFactory, views: Views) -> None:
    views.main.admit("op-node")
    views.show()
    http = caller_of(scope="operator").http
    clusters = {c["cluster"]: c for c in http.get("/v1/clusters").json()["clusters"]}
    assert (clusters["east"]["limit"], clusters["east"]["state"]) == (4, "active")
    assert clusters["east"]["slots"] >= 2
    nodes = {n["node"]: n for n in http.get("/v1/nodes").json()["nodes"]}
    assert (nodes["op-node"]["cached"], nodes["op-node"]["state"]) == ([VERSION], "ready")
    policy = http.get("/v1/policy").json()
    assert {p["pool"] for p in policy["policies"]} == {"main", "other"}
    assert policy["policies"][0]["policy"]["payload_bytes_max"] == POLICY.payload_bytes_max
    assert {pool["pool"]: pool["release"] for pool in policy["pools"]} == {"main": "0.1.0", "other": "0.1.0"}
