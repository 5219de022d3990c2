"""A pool on hold accepts jobs and starts none."""

from __future__ import annotations

from contract.events import JobAccepted, PoolHeld, PoolReleased, RecallOrdered, ReportStale
from contract.inputs import HoldRequested, ReleaseRequested, Requirements
from scheduling import snapshot
from tests.unit.scheduling.dispatched import picked
from tests.unit.scheduling.specification import Pool, a_job, names, only, submission


def held() -> Pool:
    pool = Pool()
    pool.publish()
    pool.join("n1", slots=2)
    pool.tell(submission(1))
    pool.start(a_job(1))
    pool.tell(submission(2))
    pool.tell(HoldRequested())
    return pool


def test_it_accepts_and_starts_nothing_and_what_runs_goes_on() -> None:
    pool = held()
    assert only(pool.events, PoolHeld) == [PoolHeld()]
    assert [(order.job, order.reason) for order in only(pool.events, RecallOrdered)] == [(a_job(2), "held")]
    assert names(pool.stop(a_job(2), "recalled")) == ["AttemptClosed", "JobRequeued"]
    assert only(pool.tell(submission(3)), JobAccepted)
    pool.tick(5_000)
    assert not any(pool.job(a_job(number)).open for number in (2, 3))
    assert "JobSucceeded" in names(pool.succeed(a_job(1)))
    assert picked(pool) == []


def test_released_it_starts_what_waited_at_its_own_age() -> None:
    pool = held()
    pool.stop(a_job(2), "recalled")
    pool.tell(submission(3), after_ms=1_000)
    events = pool.tell(ReleaseRequested())
    assert only(events, PoolReleased) == [PoolReleased()]
    assert picked(pool) == [a_job(2), a_job(3)]


def test_each_is_said_once_and_survives_a_snapshot() -> None:
    pool = held()
    assert pool.tell(HoldRequested()) == [ReportStale("HoldRequested")]
    assert snapshot.decode(snapshot.encode(pool.state)).held
    pool.tell(ReleaseRequested())
    assert pool.tell(ReleaseRequested())[0] == ReportStale("ReleaseRequested")


def test_a_gang_gathers_nothing_meanwhile() -> None:
    pool = held()
    pool.publish("pair", Requirements(("cpu",), 0, ranks=2))
    pool.tell(submission(4, model="pair"))
    assert not pool.state.reserved
