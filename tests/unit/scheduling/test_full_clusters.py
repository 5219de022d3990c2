"""Two clusters, one half as fast, simulated through the core: no slot stands idle while a job that fits it waits."""

from __future__ import annotations

import pytest

from audit.fleet import standing, together
from audit.simulated_nodes import Costs
from audit.simulation import Simulation
from contract.events import RecallOrdered
from contract.policy import UNLIMITED
from tests.unit.audit.simulations import poisson, policy, versions
from tests.unit.scheduling.specification import only

HEARTBEAT_MS = 5_000
LOOK_MS = 500
SLOTS = 6


def simulated(limit: int, load: float) -> tuple[int, int]:
    """(longest time for which a slot stood idle while a job waited anywhere, in ms; recalls `elsewhere`)."""
    recalls = 0

    def see(now_ms: int, events: object) -> None:
        nonlocal recalls
        assert isinstance(events, list)
        recalls += sum(event.reason == "elsewhere" for event in only(events, RecallOrdered))

    given = poisson(5, 1_500, load * 1.5 * SLOTS, {"api": 1, "free": 3})
    fleet = together(standing("east", SLOTS), standing("west", SLOTS // 2, 2, speed_permille=500))
    rules = policy({"api": 30_000, "free": 300_000}, ("east", "west"), limit)
    costs = Costs(order_ms=20, fetch_ms=200)
    simulation = Simulation(rules, versions("film"), given, fleet, costs=costs, observer=see)
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
    """Some slot is free and nothing is on its way there, while a job waits for a dispatch or behind others."""
    attempts = simulation.state.node_attempts
    held = [(len(attempts.get(name, ())), node.machine.slots) for name, node in simulation.site.nodes.items()]
    waits = simulation.queued() > 0 or any(count > slots for count, slots in held)
    return waits and any(count < slots for count, slots in held)


@pytest.mark.parametrize("limit", [2, 4, UNLIMITED])
def test_no_slot_is_idle_while_a_job_waits_anywhere_for_longer_than_a_heartbeat(limit: int) -> None:
    """With limit 1 it can be longer: an attempt that was recalled three times stays where it is, and is the limit."""
    longest_ms, recalls = simulated(limit, load=0.9)
    assert longest_ms <= HEARTBEAT_MS
    assert recalls > 0, "work was in the wrong place, and called back"
