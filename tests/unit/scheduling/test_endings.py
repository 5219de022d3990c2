"""Cancel, deadline, erase: first in log order wins, and a slot stays taken until the node says so."""

from __future__ import annotations

import msgspec

from contract.bounds import NUMBER_MAX, TIME_MS_MAX
from contract.events import (
    AttemptClosed,
    ErasureOrdered,
    JobAccepted,
    JobCancelled,
    JobCancelling,
    JobErased,
    JobExpired,
    JobRefused,
    KillOrdered,
    RecallOrdered,
    ReportStale,
)
from contract.inputs import Body, CancelRequested, EraseRequested, ErasureCompleted, Input
from contract.names import job_id
from tests.unit.scheduling.specification import Pool, a_job, names, only, submission

JOB = a_job(1)


def with_a_job(*, started: bool = False, expires_after_ms: int = 0) -> Pool:
    pool = Pool()
    pool.publish()
    pool.join("n1")
    pool.tell(submission(1, expires_ms=pool.now_ms + expires_after_ms if expires_after_ms else 0))
    if started:
        pool.start(JOB)
    return pool


def queued(**more: int) -> Pool:
    pool = Pool()
    pool.publish()
    pool.tell(submission(1, expires_ms=pool.now_ms + more["expires_after_ms"] if more else 0))
    return pool


def test_a_queued_job_is_cancelled_at_once() -> None:
    pool = queued()
    assert pool.cancel(JOB) == [JobCancelled(JOB, "cancel")]
    assert pool.join("n1")[1:] == [], "it is dispatched no more"


def test_a_staged_attempt_is_recalled_and_the_job_ends_when_it_is_given_back() -> None:
    pool = with_a_job()
    dispatch = pool.dispatch(JOB)
    assert pool.cancel(JOB) == [JobCancelling(JOB, "cancel"), RecallOrdered(JOB, dispatch, "cancel")]
    assert pool.stop(JOB, "recalled") == [
        AttemptClosed(JOB, dispatch, "recalled", False),
        JobCancelled(JOB, "cancel"),
    ]


def test_an_attempt_that_starts_while_it_is_recalled_is_killed() -> None:
    pool = with_a_job()
    dispatch = pool.dispatch(JOB)
    pool.cancel(JOB)
    assert names(pool.start(JOB)) == ["AttemptStarted", "KillOrdered"]
    assert only(pool.events, KillOrdered) == [KillOrdered(JOB, dispatch, "cancel")]
    assert names(pool.stop(JOB, "killed")) == ["AttemptClosed", "JobCancelled"]


def test_a_running_attempt_is_killed_and_keeps_its_slot_until_it_stopped() -> None:
    pool = with_a_job(started=True)
    pool.tell(submission(2), submission(3))
    assert names(pool.cancel(JOB)) == ["JobCancelling", "KillOrdered"]
    assert pool.state.node_attempts["n1"].keys() == {JOB, *[j for j in pool.state.jobs if pool.job(j).open]}
    assert names(pool.stop(JOB, "killed")) == ["AttemptClosed", "JobCancelled", "JobDispatched"]


def test_a_cancel_that_came_first_wins_over_the_result() -> None:
    pool = with_a_job(started=True)
    dispatch = pool.dispatch(JOB)
    pool.cancel(JOB)
    assert pool.succeed(JOB) == [AttemptClosed(JOB, dispatch, "overtaken", False), JobCancelled(JOB, "cancel")]


def test_a_result_that_came_first_wins_over_the_cancel() -> None:
    pool = with_a_job(started=True)
    pool.succeed(JOB)
    assert pool.cancel(JOB) == [ReportStale("CancelRequested")]


def test_a_cancelled_job_that_fails_ends_cancelled() -> None:
    pool = with_a_job(started=True)
    pool.cancel(JOB)
    assert names(pool.fail(JOB, "bad_inputs"))[:2] == ["AttemptFailed", "JobCancelled"]


def test_a_cancelled_job_whose_node_is_lost_ends_cancelled() -> None:
    pool = with_a_job(started=True)
    pool.cancel(JOB)
    for _ in range(2):
        pool.tick(10_000)
    assert names(pool.tick(10_000)) == ["NodeLost", "AttemptClosed", "JobCancelled"]


def test_a_resting_job_is_cancelled_at_once() -> None:
    pool = with_a_job(started=True)
    pool.fail(JOB)
    assert pool.cancel(JOB) == [JobCancelled(JOB, "cancel")]
    assert pool.beat(after_ms=5_000)[1:] == []


def test_nobody_cancels_anothers_job_and_an_operator_cancels_any() -> None:
    pool = queued()
    for request in (CancelRequested(JOB, "rival"), CancelRequested(a_job(9), "acme")):
        assert pool.tell(request) == [ReportStale("CancelRequested")]
    assert names(pool.tell(CancelRequested(JOB, "acme"))) == ["JobCancelled"]


def test_a_second_cancel_is_stale() -> None:
    pool = with_a_job(started=True)
    pool.cancel(JOB)
    assert pool.cancel(JOB) == [ReportStale("CancelRequested")]


def test_a_queued_job_expires_at_its_deadline() -> None:
    pool = queued(expires_after_ms=1_000)
    assert pool.tick(999) == []
    assert pool.tick(1) == [JobExpired(JOB)]


class ReadLate(Pool):
    """What is told was appended 600 ms before it is judged."""

    def _input(self, body: Body) -> Input:
        return msgspec.structs.replace(super()._input(body), at_ms=self.now_ms - 600)


def test_a_deadline_asked_for_in_ms_counts_from_the_append_and_from_no_clock_of_ours() -> None:
    pool = ReadLate()
    pool.publish()
    pool.tell(submission(1, expires_in_ms=1_000, expires_ms=1))
    assert pool.tick(399) == []
    assert pool.tick(1) == [JobExpired(JOB)]
    (refused,) = only(pool.tell(submission(2, expires_in_ms=600)), JobRefused)
    assert refused.reason == "expired"


def test_a_deadline_asked_for_is_never_beyond_what_a_date_can_say() -> None:
    pool = Pool()
    pool.publish()
    (accepted,) = only(pool.tell(submission(1, expires_in_ms=NUMBER_MAX)), JobAccepted)
    assert accepted.expires_ms == TIME_MS_MAX


def test_a_deadline_waits_through_no_outage() -> None:
    pool = queued(expires_after_ms=1_000)
    assert pool.tick(1_000, lease_ms=0, caught_up=False) == [JobExpired(JOB)]


def test_a_staged_and_a_running_attempt_are_stopped_at_the_deadline() -> None:
    pool = with_a_job(expires_after_ms=1_000)
    assert names(pool.tick(1_000)) == ["JobCancelling", "RecallOrdered"]
    assert names(pool.stop(JOB, "recalled")) == ["AttemptClosed", "JobExpired"]
    pool = with_a_job(started=True, expires_after_ms=1_000)
    assert names(pool.tick(1_000)) == ["JobCancelling", "KillOrdered"]
    assert pool.tick(1_000) == [], "once is enough; orders are repeated by heartbeats"
    assert names(pool.stop(JOB, "killed")) == ["AttemptClosed", "JobExpired"]


def test_a_job_that_ended_in_time_does_not_expire() -> None:
    pool = with_a_job(started=True, expires_after_ms=1_000)
    pool.succeed(JOB)
    assert pool.tick(5_000) == []


def test_erasing_ends_the_job_first_whatever_it_does() -> None:
    pool = queued()
    assert pool.tell(EraseRequested(JOB, "acme")) == [JobCancelled(JOB, "erase"), ErasureOrdered(JOB)]
    pool = with_a_job(started=True)
    assert names(pool.tell(EraseRequested(JOB))) == ["JobCancelling", "KillOrdered", "ErasureOrdered"]
    assert pool.tell(ErasureCompleted(JOB, (3,), 9)) == [ReportStale("ErasureCompleted")], "it has not ended"
    assert pool.stop(JOB, "killed")[-1] == JobCancelled(JOB, "erase")
    assert pool.tell(ErasureCompleted(JOB, (3,), 9)) == [JobErased(JOB, (3,), 9)]


def test_erasing_a_job_that_is_being_cancelled_orders_the_erasure_alone() -> None:
    pool = with_a_job(started=True)
    pool.cancel(JOB)
    assert pool.tell(EraseRequested(JOB)) == [ErasureOrdered(JOB)]


def test_erasing_an_ended_job_asks_for_its_tenant() -> None:
    pool = queued()
    pool.cancel(JOB)
    assert pool.tell(EraseRequested(JOB, "rival")) == [ReportStale("EraseRequested")]
    assert pool.tell(EraseRequested(JOB, "acme")) == [ErasureOrdered(JOB)]


def test_only_an_operator_erases_a_job_that_is_forgotten() -> None:
    pool = Pool()
    assert pool.tell(EraseRequested(JOB, "acme")) == [ReportStale("EraseRequested")]
    assert pool.tell(EraseRequested(JOB)) == [ErasureOrdered(JOB)]
    assert pool.tell(EraseRequested(job_id("other", "x"))) == [ReportStale("EraseRequested")]
