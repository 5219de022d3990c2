"""A tier of many tenants under overload: the jobs of several run late in one batch."""

from __future__ import annotations

import random

import pytest

from contract.policy import DISCIPLINES
from tests.unit.whatif.simulations import policy, versions
from whatif.simulation.arrivals import Arrivals
from whatif.simulation.machines import standing
from whatif.simulation.simulation import Simulation


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_the_last_jobs_of_several_tenants_run_late_at_once(discipline: str) -> None:
    """A queue that runs empty is gone before the heads of the other queues are offered again: the heaps of the line may
    be built anew at that moment, and look at every queue."""
    chance = random.Random(5)
    given, now_ms = Arrivals(), 0
    for _ in range(600):
        now_ms += chance.randrange(100)
        given.add(now_ms, "api", f"t{chance.randrange(40):03d}", "film", chance.randrange(100, 400))
    rules = policy({"api": 5_000}, discipline=discipline)
    simulation = Simulation(rules, versions("film"), given, standing("east", 1), batch_ms=50).run()
    assert min(simulation.site.end_ms) >= 0
