"""Two clusters, one half as fast, simulated through the core. No slot stands idle while a job that fits the slot waits,
and jobs of the first tier do not wait behind what was pushed to a node."""

from __future__ import annotations

import pytest

from contract.events import RecallOrdered
from contract.policy import UNLIMITED
from tests.unit.scheduling.specification import only
from tests.unit.whatif.simulations import poisson, policy, versions
from whatif.outcome import simulated_outcome
from whatif.simulation.machines import standing, together
from whatif.simulation.nodes import Costs
from whatif.simulation.simulation import Simulation

HEARTBEAT_MS = 5_000
LOOK_MS = 500
SLOTS = 6
SLOS = {"api": 30_000, "free": 300_000}
SHARES = {"api": 1, "free": 3}
ORDER_MS = 20


def idle_and_recalls(limit: int, fetch_ms: int) -> tuple[int, int]:
    """The longest time that a slot stood idle while a job waited anywhere, in ms, and the number of recalls
    `elsewhere`."""
    recalls = 0

    def see(now_ms: int, events: object) -> None:
        nonlocal recalls
        assert isinstance(events, list)
        recalls += sum(event.reason == "elsewhere" for event in only(events, RecallOrdered))

    given = poisson(5, 1_500, 0.9 * 1.5 * SLOTS, SHARES)
    fleet = together(standing("east", SLOTS), standing("west", SLOTS // 2, 2, speed_permille=500))
    rules = policy(SLOS, ("east", "west"), limit)
    simulation = Simulation(rules, versions("film"), given, fleet, costs=Costs(0, ORDER_MS, fetch_ms), observer=see)
    longest_ms = idle_since_ms = 0
    at_ms = 0
    while not simulation.advance(at_ms):
        if not _is_idle(simulation):
            idle_since_ms = at_ms
        longest_ms = max(longest_ms, at_ms - idle_since_ms)
        at_ms += LOOK_MS
    assert min(simulation.site.end_ms) >= 0, "every job has ended"
    return longest_ms, recalls


def _is_idle(simulation: Simulation) -> bool:
    """Whether some slot is free and nothing is on its way to that slot, while a job waits for a dispatch or behind
    others."""
    attempts = simulation.state.node_attempts
    held = [(len(attempts.get(name, ())), node.machine.slots) for name, node in simulation.site.nodes.items()]
    waits = simulation.queued > 0 or any(count > slots for count, slots in held)
    return waits and any(count < slots for count, slots in held)


@pytest.mark.parametrize("limit", [2, 4, 8, UNLIMITED])
def test_no_slot_is_idle_while_a_job_waits_anywhere_for_longer_than_a_heartbeat(limit: int) -> None:
    """Fetching takes a tenth of the run time, so it is worth hiding."""
    longest_ms, recalls = idle_and_recalls(limit, fetch_ms=1_000)
    assert longest_ms <= HEARTBEAT_MS
    assert recalls > 0, "work was in the wrong place, and called back"


def test_nor_with_a_limit_of_one() -> None:
    """A limit of one starts one attempt after another, so fetching must be short against the time between two
    starts."""
    assert idle_and_recalls(1, fetch_ms=200) <= (HEARTBEAT_MS, 0)


def api_p99_ms(limit: int) -> int:
    """Offered load 1.1, inputs that take 1 % of the run time."""
    given = poisson(6, 1_500, 1.1 * 1.5 * SLOTS, SHARES)
    fleet = together(standing("east", SLOTS), standing("west", SLOTS, speed_permille=500))
    rules = policy(SLOS, ("east", "west"), limit)
    costs = Costs(0, ORDER_MS, fetch_ms=80)
    return simulated_outcome(Simulation(rules, versions("film"), given, fleet, costs=costs).run()).tiers["api"].p99_ms


@pytest.mark.parametrize("limit", [1, 2, 4, 8])
def test_the_first_tiers_jobs_wait_a_tenth_of_what_they_wait_when_all_is_pushed(limit: int) -> None:
    assert api_p99_ms(limit) * 10 <= api_p99_ms(UNLIMITED)
