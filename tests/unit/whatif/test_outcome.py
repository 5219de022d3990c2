"""Attainment, worst fraction and waits of a list of starts."""

from __future__ import annotations

import pytest

from tests.unit.whatif.simulations import arrivals
from whatif.outcome import outcome_of, quantile
from whatif.simulation.machines import Machine, standing, together

SLOS_MS = {"free": 1_000, "api": 100}
GIVEN = arrivals([(0, "api", 1), (0, "free", 1), (10, "api", 1), (20, "free", 1)])


def test_each_job_is_judged_by_its_tiers_slo() -> None:
    outcome = outcome_of(GIVEN, [100, 1_500, 111, 20], SLOS_MS, 9_999)
    assert outcome.overall.attainment == 0.5  # exactly the SLO is within it
    assert outcome.overall.worst_fraction == 1.5
    assert list(outcome.tiers) == ["api", "free"]  # shortest SLO first
    assert outcome.tiers["api"].attainment == 0.5
    assert outcome.tiers["api"].worst_fraction == 1.01
    assert (outcome.tiers["free"].p50_ms, outcome.tiers["free"].p99_ms) == (0, 1_500)
    assert outcome.overall.mean_ms == pytest.approx((100 + 1_500 + 101) / 4)


def test_a_job_that_never_started_is_late_even_when_it_is_young() -> None:
    outcome = outcome_of(GIVEN, [0, 0, 10, -1], SLOS_MS, 50)
    assert outcome.overall.never_started == 1
    assert outcome.overall.attainment == 0.75
    assert outcome.tiers["free"].attainment == 0.5
    assert outcome_of(GIVEN, [0, 0, 10, -1], SLOS_MS, 5_020).overall.worst_fraction == 5.0


def test_a_tier_without_an_slo_is_an_error() -> None:
    with pytest.raises(KeyError):
        outcome_of(GIVEN, [0, 0, 0, 0], {"api": 1}, 0)


@pytest.mark.parametrize(("q", "expected"), [(0.5, 2), (0.99, 4), (0.25, 1)])
def test_quantiles_are_by_nearest_rank(q: float, expected: int) -> None:
    assert quantile([1, 2, 3, 4], q) == expected


def test_slot_time_counts_what_was_there() -> None:
    fleet = together(standing("east", 2, slots=2), standing("west", 1))
    fleet.lose(40, "east-0000")
    fleet.join(70, Machine("east-0000", "east", 2))
    assert fleet.slot_ms(10, 100) == 2 * 30 + 2 * 30 + 2 * 90 + 90
    fleet.leave(80, "west-0000")
    assert fleet.slot_ms(10, 100) == 2 * 30 + 2 * 30 + 2 * 90 + 70
