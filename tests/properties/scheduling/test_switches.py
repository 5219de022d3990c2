"""A job is passed over for a loaded version only if it had time left or a switch was made just before (0012); and this
pays."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec
import pytest

from contract.events import AttemptStarted, Event, JobAccepted, JobDispatched
from contract.policy import Policy
from scheduling.picking import switches
from tests.unit.whatif.simulations import policy, versions
from whatif.simulation.arrivals import Arrivals
from whatif.simulation.machines import standing
from whatif.simulation.nodes import Costs
from whatif.simulation.simulation import Simulation

MODELS = ("film", "song", "draw")
SLOS_MS = {"api": 60_000, "light": 600_000, "free": 3_600_000}
SLOTS, RUN_MEAN_MS, LOAD_MS = 4, 60_000, 600_000


def mixed(seed: int, jobs: int) -> Arrivals:
    chance, made, now = random.Random(seed), Arrivals(), 0.0
    for _ in range(jobs):
        now += chance.expovariate(SLOTS / RUN_MEAN_MS)
        tier, model = chance.choice(list(SLOS_MS)), chance.choice(MODELS)
        made.add(round(now), tier, "acme", model, round(RUN_MEAN_MS * chance.uniform(0.5, 1.5)))
    return made


class Watch:
    """Reads every switch and every job passed over from the ledger, with books of its own."""

    def __init__(self, rules: Policy) -> None:
        self.rules = rules
        self.submitted: dict[str, tuple[str, str, int]] = {}
        self.loaded: dict[str, str] = {}
        self.last_ms = self.passed = self.passed_late = 0
        self.simulation: Simulation | None = None

    def look(self, now_ms: int, events: Sequence[Event]) -> None:
        assert self.simulation is not None
        every_ms = switches.load_ms(self.simulation.state) * 100 // (self.rules.switch_percent * SLOTS)
        for event in events:
            if isinstance(event, JobAccepted):
                self.submitted[event.job] = event.version, event.tier, event.submitted_ms
            elif isinstance(event, AttemptStarted):
                job = self.simulation.state.jobs[event.job]
                assert job.open is not None
                self.loaded[job.open.node] = job.version
            elif isinstance(event, JobDispatched):
                if event.passed:
                    self.passed += 1
                    _, tier, submitted_ms = self.submitted[event.passed]
                    late = (now_ms - submitted_ms) * 100 > self.rules.look_ahead_percent * SLOS_MS[tier]
                    self.passed_late += late
                    assert not late or now_ms - self.last_ms < every_ms, "a switch was due"
                if self.loaded.get(event.node) != self.submitted[event.job][0]:
                    assert not event.passed, "only the job whose turn it is makes a switch"
                    self.last_ms = now_ms


def simulated(discipline: str, seed: int, look_ahead: bool = True) -> tuple[Simulation, Watch]:
    rules = policy(SLOS_MS, limit=2, discipline=discipline)
    if not look_ahead:
        rules = msgspec.structs.replace(rules, look_ahead_jobs=0)
    watch, arrivals, fleet = Watch(rules), mixed(seed, 240), standing("east", SLOTS)
    costs = Costs(switch_ms=LOAD_MS, order_ms=20, fetch_ms=200)
    watch.simulation = Simulation(rules, versions(*MODELS), arrivals, fleet, costs=costs, observer=watch.look)
    return watch.simulation.run(), watch


@pytest.mark.parametrize("discipline", ["promise", "wait_fraction", "edf", "weighted_fair"])
def test_nobody_is_passed_over_beyond_the_bounds_and_fewer_switches_are_made(discipline: str) -> None:
    for seed in range(3):
        plain, _ = simulated(discipline, seed, look_ahead=False)
        grouped, watch = simulated(discipline, seed)
        assert watch.passed_late > 0
        assert grouped.site.switches * 3 < plain.site.switches
        assert max(grouped.site.end_ms) * 2 < max(plain.site.end_ms)
