"""Waits of a job that was dispatched: behind others at its node, parked, or after an attempt that failed."""

from __future__ import annotations

import pytest

from audit.waits.causes import Cause, CauseGroup
from audit.waits.sentences import explained
from contract import events as said
from contract import inputs
from tests.unit.audit.ledger import POLICY, VERSION, Ledger, job_of
from tests.unit.audit.waits import AT_NODE, Written, alone, full, missed_by, ms_of, started, succeeded, wait_of


def test_staged_behind_a_running_attempt() -> None:
    ledger = full()
    ledger.decide(passed_ms=4_000)
    succeeded(ledger, 1, 2)
    started(ledger, 3, 4)
    wait = wait_of(ledger, 3)
    (behind,) = [share for cause, share in wait.shares.items() if cause.group is CauseGroup.STAGED_BEHIND]
    assert behind.jobs == {job_of(1)}
    assert behind.ms >= 4_000
    assert f"at its node in cluster east it stood behind job {job_of(1)}" in explained(wait, operator=True).sentence


def test_staged_behind_one_job_after_the_other() -> None:
    """A deep line at a node is one cause, with the number of jobs that held the slot before."""
    pool = Written(limit=9)
    numbers = range(1, 8)
    pool.write(*(pool.accept(number) for number in numbers))
    pool.write(*(pool.dispatch(number, index) for index, number in enumerate(numbers)))
    pool.start(1, 2)
    for number in (1, 3, 4, 5):
        pool.write(*pool.succeed(number), after_ms=1_000)
        pool.start(number + 2 if number == 1 else number + 1)
    pool.write(*pool.succeed(2), after_ms=10)
    pool.start(7)
    wait = pool.wait(7)
    (cause,) = [cause for cause in explained(wait, operator=False).causes if cause.cause == "staged_behind"]
    assert cause.ms > 4_000
    assert cause.jobs > 1
    assert f"behind {cause.jobs} jobs of tenant acme, one after the other" in cause.words


def test_those_that_run_hold_the_slots_whoever_was_dispatched_first() -> None:
    pool = Written()
    pool.write(pool.accept(1), pool.accept(2), pool.accept(3))
    pool.write(pool.dispatch(1, 0), pool.dispatch(2, 1), pool.dispatch(3, 2))
    pool.start(1, 3)
    pool.write(after_ms=1_000)
    assert ms_of(pool.wait(2))[CauseGroup.STAGED_BEHIND] == 1_000


def test_its_version_had_to_be_loaded_and_then_its_order_was_on_its_way() -> None:
    ledger = alone()
    ledger.decide(inputs.NodeHeartbeat("n1", "n1.a", loaded=(VERSION,), cached=(VERSION,)), passed_ms=3_000)
    started(ledger, 1)
    assert ms_of(wait_of(ledger, 1)) == {CauseGroup.ON_THE_WAY: 10, CauseGroup.VERSION: 3_000, CauseGroup.ORDER: 100}


def test_no_scheduler_while_it_was_at_its_node() -> None:
    """The order may not have come, and no start is recorded before somebody leads again."""
    ledger = Ledger()
    ledger.set_up()
    ledger.decide(inputs.NodeHeartbeat("n1", "n1.a", loaded=(VERSION,), cached=(VERSION,)))
    ledger.submit(1)
    ledger.decide(passed_ms=10)
    ledger.now_ms += 20_000
    ledger.open("s2")
    ledger.decide(passed_ms=10)
    started(ledger, 1)
    assert ms_of(wait_of(ledger, 1)) == {CauseGroup.ON_THE_WAY: 10, CauseGroup.DOWN: 20_010, CauseGroup.ORDER: 100}


def test_parked_and_called_back() -> None:
    """The whole wait at the node that gave the job back has one cause: the job was parked there."""
    pool = Written()
    pool.write(pool.accept(1))
    pool.write(pool.dispatch(1))
    pool.write(said.RecallOrdered(job_of(1), pool.ledger.dispatch(job_of(1)), "elsewhere"), after_ms=2_000)
    pool.write(pool.ledger.closed(job_of(1), "recalled"), said.JobRequeued(job_of(1), 0))
    pool.write(pool.dispatch(1))
    pool.start(1)
    wait = pool.wait(1)
    assert wait.shares[Cause(CauseGroup.PARKED, cluster="east", reason="recalled")].ms == 2_010
    assert ms_of(wait) == {CauseGroup.DECIDING: 20, CauseGroup.PARKED: 2_010, CauseGroup.VERSION: 10}
    assert "parked in cluster east" in explained(wait, operator=False).sentence


def test_an_attempt_that_ran_and_failed_and_the_rest_after_it() -> None:
    ledger = alone()
    started(ledger, 1)
    ledger.decide(passed_ms=4_000)
    ledger.report(inputs.Failed(job_of(1), ledger.dispatch_of(1), "model_error", "ValueError"))
    ledger.decide(passed_ms=POLICY.backoff_ms)
    started(ledger, 1)
    ledger.decide(passed_ms=4_000)
    wait = wait_of(ledger, 1)
    assert wait.shares[Cause(CauseGroup.RAN, attempt=1, reason="model_error")].ms == 4_100
    assert ms_of(wait)[CauseGroup.BACKOFF] == POLICY.backoff_ms
    assert wait.outcome == "started"
    assert wait.until_ms == ledger.now_ms - 4_000, "the run that goes on is no wait"


def test_a_rest_that_ends_between_two_records() -> None:
    ledger = alone()
    started(ledger, 1)
    ledger.report(inputs.Failed(job_of(1), ledger.dispatch_of(1), "model_error", "ValueError"))
    ledger.decide(passed_ms=POLICY.backoff_ms + 1_000)
    found = ms_of(wait_of(ledger, 1))
    assert (found[CauseGroup.BACKOFF], found[CauseGroup.DECIDING]) == (POLICY.backoff_ms, 1_000)


ONE_CAUSE_AT_A_TIME = (
    test_staged_behind_a_running_attempt,
    test_its_version_had_to_be_loaded_and_then_its_order_was_on_its_way,
    test_parked_and_called_back,
    test_an_attempt_that_ran_and_failed_and_the_rest_after_it,
)


@pytest.mark.parametrize("group", AT_NODE)
def test_a_cause_that_is_dropped_is_missed(group: CauseGroup) -> None:
    assert missed_by(group, ONE_CAUSE_AT_A_TIME), f"no test misses the cause {group.value}"
