"""A node that is heard and does not hear: its orders are given up after a lease, and it drains (review 5.10)."""

from __future__ import annotations

from contract.events import AttemptClosed, JobCancelled, JobDispatched, JobRequeued, NodeDrained, NodeHeard
from contract.inputs import NodeHeartbeat
from contract.orders import Rejoin
from tests.unit.scheduling.specification import Pool, a_job, names, only, submission

JOB = a_job(1)


def told() -> Pool:
    """Job 1 was sent to n1, which never heard of it."""
    pool = Pool()
    pool.publish()
    pool.join("n1")
    pool.tell(submission(1))
    return pool


def beat(pool: Pool, after_ms: int = 5_000, staged: tuple[str, ...] = ()) -> None:
    pool.tell(NodeHeartbeat("n1", "s1", staged=staged), after_ms=after_ms)


def test_an_order_that_is_not_due_for_long_is_not_missed() -> None:
    pool = told()
    assert pool.tell(NodeHeartbeat("n1", "s1"), after_ms=4_999) == [NodeHeard("n1", "s1")]
    assert pool.tell(NodeHeartbeat("n1", "s1"), after_ms=1) == [NodeHeard("n1", "s1", (), (pool.dispatch(JOB),))]


def test_what_is_not_listed_for_a_lease_is_given_up_and_the_node_drains() -> None:
    pool = told()
    dispatch = pool.dispatch(JOB)
    for _ in range(6):
        beat(pool)
        assert names(pool.events) == ["NodeHeard"]
    beat(pool)
    assert names(pool.events)[:4] == ["NodeHeard", "NodeDrained", "AttemptClosed", "JobRequeued"]
    assert only(pool.events, NodeDrained) == [NodeDrained("n1", "s1", "deaf")]
    assert only(pool.events, AttemptClosed) == [AttemptClosed(JOB, dispatch, "unclaimed", False)]
    assert only(pool.events, JobRequeued)[0].eligible_lease_ms > pool.state.lease_ms
    pool.join("n2")
    beat(pool)
    assert pool.attempt(JOB).node == "n2"


def test_one_heartbeat_that_lists_it_begins_the_time_anew() -> None:
    pool = told()
    for turn in range(20):
        beat(pool, staged=(pool.dispatch(JOB),) if turn % 6 == 5 else ())
    assert only([event for batch in pool.batches for event in batch.events], NodeDrained) == []


def test_heartbeats_that_come_at_once_after_an_outage_of_ours_accuse_nobody() -> None:
    pool = told()
    pool.take_over()
    beats = [NodeHeartbeat("n1", "s1")] * 50
    pool.tell(*beats, after_ms=250_000, lease_ms=0)
    assert pool.job(JOB).open is not None


def test_two_heartbeats_a_lease_apart_accuse_nobody() -> None:
    pool = told()
    beat(pool)
    pool.tick(10_000)
    pool.tick(10_000)
    beat(pool, 9_999)
    beat(pool, 1)
    assert pool.job(JOB).open is not None


def test_a_cancelled_job_ends_though_its_node_does_not_hear() -> None:
    pool = told()
    pool.cancel(JOB)
    for _ in range(8):
        beat(pool)
    assert JOB not in pool.state.jobs
    ended = [event for batch in pool.batches for event in batch.events]
    assert only(ended, JobCancelled) == [JobCancelled(JOB, "cancel")]


def test_it_rejoins_once_it_holds_nothing_and_hears_again() -> None:
    pool = Pool()
    pool.publish()
    pool.join("n1", slots=2)
    pool.tell(submission(1))
    pool.start(JOB)
    pool.tell(submission(2))
    running = (pool.dispatch(JOB),)
    for _ in range(8):
        pool.tell(NodeHeartbeat("n1", "s1", running=running), after_ms=5_000)
        assert pool.job(JOB).open is not None
    assert pool.state.nodes["n1"].drained_for == "deaf"
    assert pool.orders() == [], "it finishes what it runs"
    pool.succeed(JOB)
    beat(pool)
    assert pool.orders() == [Rejoin("n1", "s1", "main", 1)]
    assert only(pool.join("n1", session="s2", slots=2), JobDispatched)
