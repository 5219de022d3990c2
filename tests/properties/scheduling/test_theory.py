"""What theory says of queues, found again through the real core: two laws that no implementation of ours knows."""

from __future__ import annotations

import statistics

import msgspec
import pytest

from contract.policy import DISCIPLINES, Policy
from tests.unit.whatif.simulations import poisson, policy, unstaged, versions
from whatif.simulation.arrivals import Arrivals
from whatif.simulation.machines import standing
from whatif.simulation.simulation import Simulation

SLOS_MS = {"api": 3_000, "unlimited": 6_000, "free": 30_000}
"""Short SLOs: most waits are several SLOs long, so a fraction capped at 1 would show."""
SHARES = {"api": 0.3, "unlimited": 0.3, "free": 0.4}
LOAD, RUN_MEAN_MS = 0.8, 10_000
ANY_MS = LOAD * RUN_MEAN_MS / (1 - LOAD)
"""The mean wait of any job (Pollaczek and Khinchine), in any order that does not look at run times."""
FILM = versions("film")


def rules(discipline: str) -> Policy:
    """A policy under which the discipline alone chooses whenever the slot is free."""
    made = unstaged(policy(SLOS_MS))
    return msgspec.structs.replace(made, discipline=discipline, look_ahead_jobs=0)


def starts_of(given: Arrivals, discipline: str) -> Simulation:
    return Simulation(rules(discipline), FILM, given, standing("east", 1), batch_ms=0).run()


def kleinrock_ms() -> dict[str, float]:
    """Mean waits of M/G/1 when the job with the greatest b x waited goes next, b = 1 / SLO (L. Kleinrock, A delay
    dependent queue discipline, 1964; Queueing Systems II, equation 3.32), for exponential run times."""
    residual_ms = LOAD * RUN_MEAN_MS  # arrival rate x E[S^2] / 2
    order = sorted(SLOS_MS, key=lambda tier: -SLOS_MS[tier])  # lowest b first
    waits: dict[str, float] = {}
    for place, tier in enumerate(order):
        b = 1 / SLOS_MS[tier]
        below = sum(
            LOAD * SHARES[other] * waits[other] * (1 - SLOS_MS[tier] / SLOS_MS[other]) for other in order[:place]
        )
        above = sum(LOAD * SHARES[other] * (1 - b * SLOS_MS[other]) for other in order[place + 1 :])
        waits[tier] = (residual_ms / (1 - LOAD) - below) / (1 - above)
    return waits


def test_the_formula_keeps_the_conservation_law() -> None:
    """Guards the test below against an error in its formula: the sum of load x wait is the same for any order."""
    total = sum(LOAD * SHARES[tier] * wait_ms for tier, wait_ms in kleinrock_ms().items())
    assert total == pytest.approx(LOAD * ANY_MS)


SEEDS, JOBS, WARM_UP = 16, 1_200, 150


def test_mean_waits_of_the_wait_fraction_discipline_are_kleinrocks() -> None:
    """Within 3 standard errors, and these are small: what all jobs waited in a run, whose expectation the conservation
    law gives whatever the order, says how lucky the run was, and that much is taken out (a control variate).

    Tried by hand: capped at 1, by SLO alone, by deadline or first come first served, it is 5 to 100 errors off."""
    lucky: list[float] = []
    means: dict[str, list[float]] = {tier: [] for tier in SLOS_MS}
    for seed in range(SEEDS):
        given = poisson(seed, JOBS, LOAD, SHARES, RUN_MEAN_MS)
        simulation = starts_of(given, "wait_fraction")
        waits: dict[str, list[int]] = {tier: [] for tier in SLOS_MS}
        for job, start_ms in list(zip(given, simulation.site.start_ms, strict=True))[WARM_UP:]:
            waits[job.tier].append(start_ms - job.at_ms)
        lucky.append(statistics.mean(wait_ms for some in waits.values() for wait_ms in some) - ANY_MS)
        for tier, some in waits.items():
            means[tier].append(statistics.mean(some))
    for tier, expected_ms in kleinrock_ms().items():
        slope = statistics.linear_regression(lucky, means[tier]).slope
        found = [mean_ms - slope * luck_ms for mean_ms, luck_ms in zip(means[tier], lucky, strict=True)]
        error_ms = statistics.stdev(found) / (SEEDS - 2) ** 0.5
        assert abs(statistics.mean(found) - expected_ms) < 3 * error_ms, tier
        assert error_ms < 0.04 * expected_ms  # or it would say nothing


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_no_discipline_makes_or_loses_work(discipline: str) -> None:
    """The conservation law, exactly: on one slot that never idles while a job waits, the work in the system is the same
    at every moment whatever the order, so the sum of run time x wait is first-come-first-served's, job for job."""
    given = poisson(77, 400, 0.9, SHARES, RUN_MEAN_MS)
    simulation = starts_of(given, discipline)
    free_ms = expected = 0
    for job in given:
        start_ms = max(free_ms, job.at_ms)
        expected += job.service_ms * (start_ms - job.at_ms)
        free_ms = start_ms + job.service_ms
    found = sum(
        job.service_ms * (start_ms - job.at_ms) for job, start_ms in zip(given, simulation.site.start_ms, strict=True)
    )
    assert found == expected
    assert max(simulation.site.end_ms) == free_ms
