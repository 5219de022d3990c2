"""What a node's report leads to: which reports count, where each failure leads, and what never counts."""

from __future__ import annotations

import pytest

from contract.codec import body_of
from contract.events import (
    AttemptClosed,
    AttemptFailed,
    AttemptStarted,
    JobDeadLettered,
    JobDispatched,
    JobQuarantined,
    JobRequeued,
    JobSucceeded,
    NodeDrained,
    ReportStale,
)
from contract.inputs import Failed, NodeReport, Started, Stopped, Succeeded
from tests.unit.scheduling.specification import MANIFEST, Pool, a_job, names, only, submission

JOB = a_job(1)


def with_a_job(cluster_nodes: tuple[tuple[str, str], ...] = (("n1", "east"),)) -> Pool:
    """A pool whose nodes have joined, with job 1 dispatched."""
    pool = Pool()
    pool.publish()
    for node, cluster in cluster_nodes:
        pool.join(node, cluster)
    pool.tell(submission(1))
    return pool


def test_an_attempt_starts_and_succeeds() -> None:
    pool = with_a_job()
    dispatch = pool.dispatch(JOB)
    assert pool.start(JOB) == [AttemptStarted(JOB, dispatch)]
    assert pool.succeed(JOB)[0] == JobSucceeded(JOB, dispatch, MANIFEST)
    assert pool.state.jobs == {}
    assert pool.state.ended == {JOB: "acme"}


def test_all_reports_of_a_record_are_judged_in_turn() -> None:
    pool = with_a_job()
    dispatch = pool.dispatch(JOB)
    events = pool.report(Started(JOB, dispatch), Succeeded(JOB, dispatch, MANIFEST), Started(JOB, dispatch))
    assert names(events)[:3] == ["AttemptStarted", "JobSucceeded", "ReportStale"]


def test_a_success_that_overtook_its_start_says_both() -> None:
    pool = with_a_job()
    dispatch = pool.dispatch(JOB)
    assert names(pool.report(Succeeded(JOB, dispatch, MANIFEST)))[:2] == ["AttemptStarted", "JobSucceeded"]
    assert pool.report(Started(JOB, dispatch)) == [ReportStale("Started")]


def test_a_report_of_another_dispatch_node_or_session_is_stale() -> None:
    pool = with_a_job((("n1", "east"), ("n2", "east")))
    dispatch = pool.dispatch(JOB)
    pool.start(JOB)
    for node, session, report in (
        ("n1", "s1", Succeeded(JOB, "1.1.1", MANIFEST)),
        ("n2", "s1", Succeeded(JOB, dispatch, MANIFEST)),
        ("n1", "s2", Failed(JOB, dispatch, "model_error")),
        ("n1", "s1", Stopped(a_job(2), dispatch, "killed")),
    ):
        assert pool.tell(NodeReport(node, session, (report,))) == [ReportStale(type(report).__name__)]
    assert pool.succeed(JOB) == [JobSucceeded(JOB, dispatch, MANIFEST)]
    assert pool.state.stale == {"Succeeded": 2, "Failed": 1, "Stopped": 1}


def test_reports_that_come_twice_are_stale() -> None:
    pool = with_a_job()
    dispatch = pool.dispatch(JOB)
    pool.start(JOB)
    assert pool.report(Started(JOB, dispatch)) == [ReportStale("Started")]
    pool.succeed(JOB)
    assert pool.report(Succeeded(JOB, dispatch, MANIFEST)) == [ReportStale("Succeeded")]


def test_a_failed_job_rests_twice_as_long_each_time_then_is_dead_lettered() -> None:
    pool = with_a_job()
    for failure, rest_ms in ((1, 2_000), (2, 4_000), (3, 8_000)):
        pool.start(JOB)
        failed, requeued = pool.fail(JOB)[:2]
        assert isinstance(failed, AttemptFailed)
        assert requeued == JobRequeued(JOB, pool.state.lease_ms + rest_ms)
        assert pool.job(JOB).failures == failure
        pool.beat(after_ms=rest_ms - 1)
        assert not only(pool.events, JobDispatched)
        pool.beat(after_ms=1)
        assert [event.attempt for event in only(pool.events, JobDispatched)] == [failure + 1]
    pool.start(JOB)
    assert pool.fail(JOB)[1:] == [JobDeadLettered(JOB, 4)]


def test_backoff_is_lease_time_and_stands_still_in_an_outage_of_ours() -> None:
    pool = with_a_job()
    pool.fail(JOB)
    pool.tick(3_600_000, lease_ms=1_999)
    assert not only(pool.events, JobDispatched)
    pool.tick(1, lease_ms=1)
    assert only(pool.events, JobDispatched)


def test_backoff_is_capped() -> None:
    from contract.policy import Policy
    from tests.unit.scheduling.specification import POLICY

    pool = with_a_job()
    pool.adopt(Policy(POLICY.tiers, POLICY.pools, POLICY.clusters, failures_max=99, backoff_max_ms=5_000))
    for _ in range(9):
        pool.beat()
        pool.fail(JOB)
        requeued = only(pool.events, JobRequeued)[0]
        assert requeued.eligible_lease_ms - pool.state.lease_ms <= 5_000
        pool.beat(after_ms=5_000)


@pytest.mark.parametrize("kind", ["bad_inputs", "bad_values", "payload_missing"])
def test_a_failure_that_no_retry_mends_is_final(kind: str) -> None:
    pool = with_a_job()
    assert names(pool.fail(JOB, kind)) == ["AttemptFailed", "JobDeadLettered"]


def test_nothing_a_model_wrote_reaches_the_ledger() -> None:
    pool = with_a_job()
    report = Failed(JOB, pool.dispatch(JOB), "a prompt", 'ValueError: "a red ball"\n')
    (failed,) = only(pool.tell(body_of(NodeReport("n1", "s1", (report,)))), AttemptFailed)
    assert (failed.kind, failed.error) == ("model_error", "OtherError")
    pool.beat(after_ms=2_000)
    stopped = Stopped(JOB, pool.dispatch(JOB), "a red ball")
    (closed,) = only(pool.tell(body_of(NodeReport("n1", "s1", (stopped,)))), AttemptClosed)
    assert closed.reason == "unclaimed"


@pytest.mark.parametrize("reason", ["recalled", "killed", "drained", "unclaimed"])
def test_what_a_node_gives_back_is_no_failure_and_keeps_its_place(reason: str) -> None:
    pool = with_a_job()
    submitted_ms = pool.job(JOB).submitted_ms
    pool.tick(5_000)
    events = pool.stop(JOB, reason)
    (closed,) = only(events, AttemptClosed)
    assert not closed.counts
    assert only(events, JobRequeued)
    assert (pool.job(JOB).failures, pool.job(JOB).submitted_ms) == (0, submitted_ms)


def test_what_was_given_back_unasked_rests_before_it_goes_again() -> None:
    """Otherwise a node that hands everything back at once would spin."""
    pool = with_a_job()
    (requeued,) = only(pool.stop(JOB, "unclaimed"), JobRequeued)
    assert requeued.eligible_lease_ms == pool.state.lease_ms + 2_000


def test_a_node_that_drained_an_attempt_gets_no_other() -> None:
    pool = with_a_job()
    events = pool.stop(JOB, "drained")
    assert names(events) == ["NodeDrained", "AttemptClosed", "JobRequeued"]
    assert only(events, NodeDrained)
    pool.tick(5_000)
    assert not only(pool.events, JobDispatched)


def lose(pool: Pool, *survivors: str) -> None:
    """30 s of lease time pass in which only these nodes are heard."""
    for _ in range(6):
        for node in survivors:
            pool.beat(node)
        pool.tick(5_000)
    for node in survivors:
        pool.beat(node)


def test_a_node_lost_under_a_started_attempt_counts_and_under_a_staged_one_does_not() -> None:
    pool = with_a_job((("n1", "east"),))
    lose(pool)
    assert pool.job(JOB).failures == 0
    pool.join("n1", session="s2")
    pool.tick(1)
    pool.start(JOB, session="s2")
    lose(pool)
    assert pool.job(JOB).failures == 1


def test_a_job_under_which_two_nodes_were_lost_alone_is_quarantined() -> None:
    pool = with_a_job((("n1", "east"),))
    pool.join("n2", "west")
    pool.start(JOB)
    lose(pool, "n2")
    pool.beat("n2", after_ms=2_000)
    assert pool.attempt(JOB).node == "n2"
    pool.start(JOB, "n2")
    pool.join("n3", "east")
    for _ in range(6):
        pool.beat("n3")
        pool.tick(5_000)
    quarantined = [event for batch in pool.batches for event in only(batch.events, JobQuarantined)]
    assert quarantined == [JobQuarantined(JOB, ("n1", "n2"))]


def test_losses_together_with_others_of_the_cluster_are_no_fault_of_the_job() -> None:
    pool = with_a_job((("n1", "east"), ("n2", "west"), ("n2b", "west")))
    pool.start(JOB)
    lose(pool, "n2", "n2b")
    pool.beat("n2", after_ms=2_000)
    node = pool.attempt(JOB).node
    pool.start(JOB, node)
    lose(pool)
    assert not [event for batch in pool.batches for event in only(batch.events, JobQuarantined)]
    assert pool.job(JOB).failures == 2


def test_a_loss_that_follows_within_a_minute_clears_the_first() -> None:
    pool = with_a_job((("n1", "east"),))
    pool.start(JOB)
    for _ in range(4):
        pool.tick(5_000)
    pool.join("n1b", "east")
    pool.join("n2", "west")
    lose(pool, "n2")
    pool.beat("n2", after_ms=2_000)
    assert pool.attempt(JOB).node == "n2"
    pool.start(JOB, "n2")
    lose(pool)
    assert not [event for batch in pool.batches for event in only(batch.events, JobQuarantined)]
    assert pool.job(JOB).failures == 2


def test_the_same_node_lost_twice_is_one_node() -> None:
    pool = with_a_job()
    for session in ("s1", "s2"):
        pool.start(JOB, session=session)
        lose(pool)
        pool.tick(70_000, lease_ms=10_000)
        for _ in range(7):
            pool.tick(10_000)
        pool.join("n1", session="s" + str(int(session[1]) + 1))
    assert (pool.job(JOB).failures, len(pool.job(JOB).losses)) == (2, 2)
