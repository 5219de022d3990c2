"""Forecasts: of run times and of starts, learned from what came true, renewed when they pass, kept over a takeover."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

from contract.events import JobAccepted, StartForecast
from scheduling import forecast, snapshot
from scheduling.evolve import begin
from scheduling.state.jobs import Job, Situation
from scheduling.state.pool import initial_state
from tests.unit.scheduling.specification import Pool, a_job, only, submission


def a_pool(**how: Any) -> Pool:
    pool = Pool(**how)
    pool.publish()
    pool.join("n1")
    return pool


def accepted(pool: Pool, number: int, tier: str = "free") -> JobAccepted:
    return only(pool.tell(submission(number, tier)), JobAccepted)[0]


def serve(pool: Pool, number: int, wait_ms: int, run_ms: int) -> None:
    pool.tick(wait_ms)
    pool.start(a_job(number))
    pool.tick(run_ms)
    pool.succeed(a_job(number))


def test_the_expected_run_time_is_unknown_then_follows_the_version() -> None:
    pool = a_pool()
    assert accepted(pool, 1).expected_ms == 0
    serve(pool, 1, 0, 8_000)
    assert accepted(pool, 2).expected_ms == 8_000
    serve(pool, 2, 0, 16_000)
    assert accepted(pool, 3).expected_ms == 9_000  # one eighth of the way


def test_a_job_behind_more_others_is_expected_later_and_a_higher_tier_sooner() -> None:
    pool = a_pool()
    for number in range(3):
        pool.tell(submission(number))
    pool.start(a_job(0))
    pool.tick(4_000)
    pool.succeed(a_job(0))
    pool.start(a_job(1))
    pool.tell(*(submission(number) for number in range(10, 14)))
    near = accepted(pool, 20)
    far = accepted(pool, 21)
    high = accepted(pool, 22, "api")
    assert 0 < near.start_p50_ms < far.start_p50_ms
    assert high.start_p50_ms < near.start_p50_ms
    assert near.start_p50_ms < near.start_p90_ms


def test_before_any_start_there_is_no_forecast_for_a_job_that_waits() -> None:
    pool = a_pool()
    pool.tell(*(submission(number) for number in range(4)))
    assert accepted(pool, 5).start_p90_ms == 0


def test_a_forecast_that_passed_is_renewed_at_least_doubling() -> None:
    pool = a_pool()
    pool.tell(submission(0))
    pool.tell(submission(1))
    assert len(pool.state.forecasts) <= 2
    serve(pool, 0, 1_000, 1_000)
    pool.start(a_job(1))
    pool.tell(submission(2), submission(3))
    first = accepted(pool, 4)
    renewed = []
    for _ in range(200):
        renewed += [event for event in only(pool.tick(1_000), StartForecast) if event.job == a_job(4)]
    assert 1 <= len(renewed) <= 10
    p90s = [first.start_p90_ms, *(event.p90_ms for event in renewed)]
    assert all(later >= 2 * sooner for sooner, later in pairwise(p90s))
    assert all(event.p50_ms <= event.p90_ms for event in renewed)


def test_a_started_job_has_no_forecast_that_could_pass_and_a_takeover_keeps_all() -> None:
    pool = a_pool()
    pool.tell(submission(0))
    pool.tell(submission(1))
    serve(pool, 0, 1_000, 1_000)
    pool.start(a_job(1))
    pool.tell(submission(2), submission(3), submission(4))
    assert pool.job(a_job(1)).due_ms == 0
    again = snapshot.decode(snapshot.encode(pool.state))
    assert again.run_ms == pool.state.run_ms
    assert set(again.forecasts) == set(pool.state.forecasts)
    pool.take_over()
    assert only(pool.tick(3_600_000, lease_ms=0), StartForecast)


def test_renewals_of_a_batch_are_bounded() -> None:
    pool = a_pool(check=False)
    pool.tell(submission(0))
    pool.tell(submission(1), submission(2))
    serve(pool, 0, 1_000, 1_000)
    pool.start(min(pool.state.node_attempts["n1"]))
    for first in range(10, 210, 100):
        pool.tell(*(submission(number) for number in range(first, first + 100)))
    for _ in range(3):
        found = only(pool.tick(3_600_000, lease_ms=0), StartForecast)
        assert len(found) == forecast.RENEWALS_PER_BATCH_MAX


def test_factors_reach_the_quantiles_of_any_waits() -> None:
    """Waits are a hundred times the basis, and skewed. Still half of the jobs start by their p50, and nine in ten by
    their p90."""
    state = initial_state("main")
    state.slos["free"] = 1_000
    chance = random.Random(7)
    seen = []
    for number in range(6_000):
        begin(state, 1, number, number, 0)
        p50_ms, p90_ms = forecast._forecast(state, "free", Situation.BEHIND, 1_000)
        wait_ms = int(100_000 * chance.expovariate(1))
        job = Job("j", "t", "free", "m", "v", 0, 0, 0, "d", basis_ms=1_000, situation=Situation.BEHIND, due_ms=p90_ms)
        forecast.learn(state, job, wait_ms, started=True)
        if number >= 2_000:
            seen.append((wait_ms <= p50_ms, wait_ms <= p90_ms))
    assert 0.45 < sum(half for half, _ in seen) / len(seen) < 0.55
    assert 0.85 < sum(most for _, most in seen) / len(seen) < 0.95
