"""Joining, being heard, leaving, being lost."""

from __future__ import annotations

from contract.events import (
    AttemptClosed,
    JobDispatched,
    JobRequeued,
    NodeAdmitted,
    NodeHeard,
    NodeLost,
    NodeVersionsChanged,
    ReportStale,
)
from contract.inputs import NodeHeartbeat, NodeJoined, NodeLeft
from tests.unit.scheduling.specification import Pool, a_job, names, only, submission, version_of

JOB = a_job(1)


def running() -> Pool:
    pool = Pool()
    pool.publish()
    pool.join("n1")
    pool.tell(submission(1))
    pool.start(JOB)
    return pool


def test_a_node_joins_with_what_it_has_and_gets_work_in_the_same_batch() -> None:
    pool = Pool()
    pool.publish()
    pool.tell(submission(1))
    versions = (version_of("b"), version_of("a"), version_of("b"))
    events = pool.tell(NodeJoined("n1", "s1", "east", "cpu", 1, 0, 64, versions))
    assert names(events) == ["NodeAdmitted", "JobDispatched"]
    assert only(events, NodeAdmitted)[0].cached == tuple(sorted(set(versions)))


def test_a_session_joins_once_and_never_again() -> None:
    pool = running()
    join = NodeJoined("n1", "s1", "east", "cpu", 1, 0, 4096)
    assert pool.tell(join) == [ReportStale("NodeJoined")]
    pool.join("n1", session="s2")
    assert pool.tell(join) == [ReportStale("NodeJoined")], "a late copy of an old session's join"
    assert pool.state.nodes["n1"].session == "s2"


def test_a_node_silent_for_a_lease_is_lost_and_its_job_requeued_at_its_own_age() -> None:
    pool = running()
    submitted_ms = pool.job(JOB).submitted_ms
    pool.tick(29_999)
    assert pool.events == []
    events = pool.tick(1)
    assert events == [
        NodeLost("n1", "s1"),
        AttemptClosed(JOB, only(events, AttemptClosed)[0].dispatch, "lost", True),
        JobRequeued(JOB, pool.state.lease_ms + 2_000),
    ]
    assert pool.job(JOB).submitted_ms == submitted_ms


def test_a_heartbeat_in_the_very_batch_saves_the_node() -> None:
    pool = running()
    assert names(pool.beat(after_ms=30_000)) == ["NodeHeard"]
    assert pool.tick(29_999) == []


def test_no_lease_lapses_before_all_that_was_said_is_read() -> None:
    pool = running()
    assert pool.tick(60_000, caught_up=False) == []
    assert names(pool.beat()) == ["NodeHeard"]


def test_an_outage_of_ours_costs_no_attempt() -> None:
    pool = running()
    pool.take_over()
    assert pool.tick(3_600_000, lease_ms=0) == []


def test_a_heartbeat_of_an_unknown_or_lost_session_is_stale() -> None:
    pool = running()
    assert pool.beat(session="s9") == [ReportStale("NodeHeartbeat")]
    assert pool.beat("n9") == [ReportStale("NodeHeartbeat")]
    pool.tick(30_000)
    assert pool.beat() == [ReportStale("NodeHeartbeat")]


def test_a_new_session_closes_what_the_old_one_held_and_a_started_attempt_counts() -> None:
    pool = running()
    pool.tell(submission(2))
    events = pool.join("n1", session="s2")
    assert names(events)[:5] == ["AttemptClosed", "JobRequeued", "AttemptClosed", "JobRequeued", "NodeAdmitted"]
    closed = {event.job: event for event in only(events, AttemptClosed)}
    assert {event.reason for event in closed.values()} == {"rejoined"}
    assert closed[JOB].counts
    assert not closed[a_job(2)].counts
    assert [event.job for event in only(events, JobDispatched)] == [a_job(2)], "the failed one rests"


def test_a_new_session_that_is_refused_closes_what_the_old_one_held_all_the_same() -> None:
    pool = running()
    events = pool.join("n1", "nowhere", session="s2")
    assert names(events) == ["AttemptClosed", "JobRequeued", "NodeDeparted", "NodeRefused"]
    assert pool.state.nodes == {}


def test_a_node_that_leaves_hands_everything_back_and_nothing_counts() -> None:
    pool = running()
    pool.tell(submission(2))
    events = pool.tell(NodeLeft("n1", "s1"))
    assert names(events)[0] == "NodeDrained"
    assert names(events)[-1] == "NodeDeparted"
    assert [(event.reason, event.counts) for event in only(events, AttemptClosed)] == [("drained", False)] * 2
    assert pool.tell(NodeLeft("n1", "s1")) == [ReportStale("NodeLeft")]


def test_a_heartbeat_says_which_versions_changed() -> None:
    pool = running()
    version = version_of("shapes/v1")
    assert names(pool.beat()) == ["NodeHeard"]
    other = version_of("other")
    events = pool.beat(loaded=(other, version), cached=(version, other, other))
    both = tuple(sorted((version, other)))
    assert only(events, NodeVersionsChanged) == [NodeVersionsChanged("n1", "s1", both, both)]


def test_draining_is_said_once() -> None:
    pool = running()
    assert names(pool.beat(draining=True)) == ["NodeHeard", "NodeDrained"]
    assert names(pool.beat(draining=True)) == ["NodeHeard"]


def test_a_started_attempt_that_the_node_forgot_is_closed_at_the_third_heartbeat() -> None:
    pool = running()
    dispatch = pool.dispatch(JOB)
    for _ in range(2):
        assert pool.beat(running=()) == [NodeHeard("n1", "s1", (dispatch,))]
    events = pool.beat(running=())
    assert only(events, AttemptClosed) == [AttemptClosed(JOB, dispatch, "unclaimed", False)]
    assert only(events, JobRequeued), "it goes again: I9"


def test_an_attempt_listed_again_in_between_is_not_forgotten() -> None:
    pool = running()
    for running_now in ((), (), (pool.dispatch(JOB),), (), ()):
        pool.beat(running=running_now)
    assert pool.job(JOB).open is not None


def test_a_staged_attempt_that_is_not_listed_is_not_closed() -> None:
    pool = Pool()
    pool.publish()
    pool.join("n1")
    pool.tell(submission(1))
    for _ in range(9):
        assert pool.tell(NodeHeartbeat("n1", "s1")) == [NodeHeard("n1", "s1")], "its order may be on its way"


def test_many_nodes_lost_at_once_are_lost_in_order() -> None:
    pool = Pool()
    for node in ("n3", "n1", "n2"):
        pool.join(node)
    assert pool.tick(30_000) == [NodeLost("n1", "s1"), NodeLost("n2", "s1"), NodeLost("n3", "s1")]
