"""Look-ahead after a switch was seen to cost time: who goes instead, for how long, and when nobody goes instead."""

from __future__ import annotations

from typing import Any

import pytest

from contract.events import JobDispatched
from contract.policy import Cluster, Policy, Tier
from scheduling import snapshot
from scheduling.picking import switches
from scheduling.state.pool import Mean
from tests.unit.scheduling.specification import POLICY, Pool, a_job, only, submission, version_of

RUN_MS, LOAD_MS, FETCH_MS = 10_000, 90_000, 5_000
"""Fetching is worth hiding, so that something is staged behind what runs."""
INTERVAL_MS = LOAD_MS * 10
"""A tenth of the time of one slot may go to switches."""
TIERS = {"fast": Tier(1_000), "slow": Tier(10_000)}


def ruled(staged: int = 0, **more: Any) -> Policy:
    return Policy(TIERS, POLICY.pools, {"east": Cluster("main", 9, staged_per_slot=staged)}, **more)


def run(pool: Pool, number: int, model: str, run_ms: int) -> None:
    pool.tell(submission(number, "slow", model))
    pool.tick(FETCH_MS, lease_ms=0)
    pool.start(a_job(number))
    pool.tick(run_ms, lease_ms=0)
    pool.succeed(a_job(number))


def switched(staged: int = 0, load_ms: int = LOAD_MS, **more: object) -> Pool:
    """A pool with one slot, which switched to b `load_ms` + 10 s ago. The slot has b loaded and runs job 9 of b."""
    pool = Pool(ruled(staged, **more))
    pool.publish("a")
    pool.publish("b")
    pool.join("n1")
    for number, model, run_ms in ((10, "a", RUN_MS), (11, "a", RUN_MS), (12, "b", RUN_MS), (13, "b", RUN_MS)):
        run(pool, number, model, run_ms)
    run(pool, 14, "a", RUN_MS + load_ms)
    run(pool, 15, "b", RUN_MS + load_ms)
    pool.tell(submission(9, "slow", "b"))
    pool.start(a_job(9))
    return pool


def goes(pool: Pool) -> tuple[str, str]:
    (event,) = only(pool.events, JobDispatched)
    return event.job, event.passed


def test_what_a_switch_costs_is_learned_from_run_times() -> None:
    pool = switched()
    assert switches.load_ms(pool.state) == LOAD_MS
    assert switches.load_ms(snapshot.decode(snapshot.encode(pool.state))) == LOAD_MS
    assert switches.load_ms(switched(load_ms=0).state) == 0


def test_run_times_that_only_vary_are_no_cost_of_a_switch() -> None:
    mean = Mean()
    for value in (30_000, -28_000, 90_000, -60_000, 40_000, -35_000):
        switches.take(mean, value)
    pool = Pool(ruled())
    pool.state.load_ms = mean
    assert mean.mean > 0
    assert switches.load_ms(pool.state) == 0


def test_a_late_job_is_passed_over_until_the_next_switch_is_due() -> None:
    for later_ms, expected in ((20_000, (2, 1)), (INTERVAL_MS, (1, 0))):
        pool = switched()
        pool.tell(submission(1, "slow", "a"))
        pool.tell(submission(2, "slow", "b"), after_ms=1)
        pool.tick(later_ms, lease_ms=0)
        pool.succeed(a_job(9))
        assert goes(pool) == (a_job(expected[0]), a_job(expected[1]) if expected[1] else "")


def test_without_a_cost_a_late_job_is_not_passed_over() -> None:
    pool = switched(load_ms=0)
    pool.tell(submission(1, "slow", "a"))
    pool.tell(submission(2, "slow", "b"), after_ms=1)
    pool.tick(20_000, lease_ms=0)
    pool.succeed(a_job(9))
    assert goes(pool) == (a_job(1), "")


@pytest.mark.parametrize("discipline", ["promise", "strict", "edf", "wait_fraction"])
def test_every_line_of_the_class_offers_a_job_and_the_discipline_chooses(discipline: str) -> None:
    pool = switched(discipline=discipline, may_starve=True)
    pool.tell(submission(1, "fast", "a"))
    pool.tell(submission(2, "slow", "b"), submission(3, "fast", "b"), after_ms=1)
    pool.tick(100)
    pool.succeed(a_job(9))
    assert goes(pool) == (a_job(3), a_job(1))
    pool.start(a_job(3))
    pool.succeed(a_job(3))
    assert goes(pool) == (a_job(2), a_job(1))


def test_it_looks_where_a_job_would_be_staged_too() -> None:
    """No slot is free. What is staged behind job 9 finds b loaded."""
    pool = switched(staged=1)
    pool.tell(submission(2, "slow", "a"), submission(3, "slow", "b"))
    assert goes(pool) == (a_job(3), a_job(2))


def test_an_overdue_job_is_never_passed_over() -> None:
    pool = switched(promise_max=1, discipline="promise")
    pool.tell(submission(1, "slow", "a"))
    pool.tell(*(submission(number, "slow", "b") for number in range(20, 70)), after_ms=1)
    pool.tick(11_000, lease_ms=0)
    previous, gone = a_job(9), []
    for _ in range(40):
        pool.succeed(previous)
        (event,) = only(pool.events, JobDispatched)
        gone.append((event.job, event.reason))
        if event.job == a_job(1):
            break
        previous = event.job
        pool.start(previous)
    assert gone[-1] == (a_job(1), "overdue")
    assert len(gone) <= 32


def test_a_switch_counts_from_its_dispatch_in_the_job_s_class() -> None:
    pool = switched()
    kind = pool.state.lines[version_of("a/v1"), "slow"].requirement_class
    at_ms = kind.switched_ms
    assert pool.now_ms - at_ms == FETCH_MS + RUN_MS + LOAD_MS
    assert switches.interval_ms(pool.state, ruled(), kind) == INTERVAL_MS
