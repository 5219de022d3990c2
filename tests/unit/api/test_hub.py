"""Who watches which job."""

from __future__ import annotations

import pytest

import api.hub
from api.hub import Hub
from contract.side_topics import AttemptProgressed
from views.rows import JobEventRow


def event(job: str, seq: int, index: int = 0) -> JobEventRow:
    return JobEventRow(job, seq, index, "main", 1, "JobAccepted", "queued", 0, "accepted")


def test_each_stream_gets_each_event_once() -> None:
    hub = Hub()
    early, late = hub.subscribe("acme", "j", (-1, -1)), hub.subscribe("acme", "j", (5, 0))
    assert hub.watched() == {("acme", "j"): (-1, -1)}
    hub.give_events([event("j", 4), event("j", 5), event("j", 6), event("other", 7)])
    hub.give_events([event("j", 6), event("j", 6, 1)])
    assert [(e.seq, e.index) for e in early.take()[0]] == [(4, 0), (5, 0), (6, 0), (6, 1)]
    assert [(e.seq, e.index) for e in late.take()[0]] == [(6, 0), (6, 1)]
    assert early.take() == ([], None)


def test_only_the_newest_progress_of_the_newest_attempt_is_kept() -> None:
    hub = Hub()
    stream = hub.subscribe("acme", "j", (-1, -1))
    hub.give_progress([AttemptProgressed("j", "1.10.0", 0.1, ""), AttemptProgressed("j", "1.10.0", 0.2, "")])
    hub.give_progress([AttemptProgressed("j", "1.9.3", 0.9, ""), AttemptProgressed("j", "nonsense", 0.9, "")])
    _, progress = stream.take()
    assert progress is not None
    assert progress.fraction == 0.2
    _, known = hub.subscribe("acme", "j", (-1, -1)).take()
    assert known == progress


def test_what_nobody_watches_is_forgotten() -> None:
    hub = Hub()
    stream = hub.subscribe("acme", "j", (-1, -1))
    hub.unsubscribe(stream)
    assert (hub.watched(), hub.count, hub._jobs) == ({}, 0, {})
    hub.give_events([event("j", 4)])
    assert stream.take()[0] == []


def test_a_closed_hub_closes_every_stream_and_those_to_come() -> None:
    hub = Hub()
    open_stream = hub.subscribe("acme", "j", (-1, -1))
    hub.close()
    assert open_stream.closed
    assert open_stream.ready.is_set()
    assert hub.subscribe("acme", "k", (-1, -1)).closed


def test_remembered_progress_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.hub, "PROGRESS_KEPT_MAX", 3)
    hub = Hub()
    hub.give_progress([AttemptProgressed(f"j{number}", "1.1.1", 0.5, "") for number in range(5)])
    assert [hub.progress_of(f"j{number}") is None for number in range(5)] == [True, True, False, False, False]


def test_a_reader_that_does_not_read_keeps_few_events_and_misses_none() -> None:
    hub = Hub()
    slow, quick = hub.subscribe("acme", "j", (-1, -1)), hub.subscribe("acme", "j", (-1, -1))
    events = [event("j", seq) for seq in range(3 * api.hub.UNSENT_MAX)]
    got: list[JobEventRow] = []

    def feed() -> None:
        for _, (seq, _) in hub.watched().items():
            hub.give_events([one for one in events if one.seq > seq])
        got.extend(quick.take()[0])

    for _ in range(10):
        feed()
    assert got == events
    assert len(slow._events) == api.hub.UNSENT_MAX
    assert hub.watched() == {("acme", "j"): (len(events) - 1, 0)}, "nobody is asked for what has no room"
    late: list[JobEventRow] = []
    for _ in range(3):
        hub.changed.clear()
        late += slow.take()[0]
        assert hub.changed.is_set(), "the feed is asked for the rest"
        feed()
    assert late == events


def test_words_of_progress_that_are_too_many_are_cut() -> None:
    hub = Hub()
    hub.give_progress([AttemptProgressed("j", "1.1.0", 0.5, "x" * 100_000)])
    kept = hub.progress_of("j")
    assert kept is not None
    assert len(kept.message) == api.hub.MESSAGE_CHARACTERS_MAX
