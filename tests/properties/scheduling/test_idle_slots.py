"""No slot stands idle for longer than a heartbeat while a job that fits the slot waits anywhere, queued or behind
others. Each recall `elsewhere` is followed by a start.

Random clusters, nodes, classes, limits and times are simulated. A place of a limit is taken from a dispatch until the
inputs are fetched, so a limit can start only so many attempts a second. In these worlds, filling all slots of a cluster
through its limit takes at most FILL_MS, and at most half the time that jobs run.
"""

from __future__ import annotations

import random

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from contract.events import JobDispatched, RecallOrdered
from contract.inputs import Requirements, VersionPublished
from contract.policy import Cluster, Policy, Pool, Tier
from whatif.simulation.arrivals import Arrivals
from whatif.simulation.machines import Fleet, Machine
from whatif.simulation.nodes import Costs
from whatif.simulation.simulation import Simulation

SOME = settings(max_examples=30, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
"""Failing examples are not made smaller, because a smaller seed says nothing."""
HEARTBEAT_MS = 5_000
FILL_MS = 3_000
ORDER_MS = 20
JOBS = 300
CLASSES = {"any": ("cuda", "rocm"), "cuda": ("cuda",), "rocm": ("rocm",)}


World = tuple[Policy, dict[str, VersionPublished], Arrivals, Fleet, Costs]


def world(chance: random.Random) -> World:
    names = ("east", "west", "south")[: chance.choice((1, 2, 2, 3))]
    limit, adaptive = chance.choice(((1, False), (2, False), (4, False), (8, False), (8, True), (100, True)))
    cluster = Cluster("main", limit, adaptive=adaptive, staged_per_slot=chance.choice((1, 1, 2)))
    policy = Policy(
        {"api": Tier(30_000), "light": Tier(120_000), "free": Tier(600_000)},
        {"main": Pool(0)},
        dict.fromkeys(names, cluster),
    )
    fleet, slots = fleet_of(chance, names)
    mean_ms = chance.choice((3_000, 10_000, 30_000))
    fetch_ms = min(chance.choice((0, mean_ms // 30, mean_ms // 5)), min(FILL_MS, mean_ms // 2) * limit // slots)
    costs = Costs(chance.choice((0, 0, 5_000)), ORDER_MS, fetch_ms)
    versions = {
        name: VersionPublished(name, f"sha256:{number:064x}", Requirements(chipsets), 3_600_000)
        for number, (name, chipsets) in enumerate(CLASSES.items())
    }
    gap_ms = mean_ms / slots / chance.choice((0.4, 0.6, 0.9))
    return policy, versions, arrivals(chance, gap_ms, mean_ms), fleet, costs


def fleet_of(chance: random.Random, names: tuple[str, ...]) -> tuple[Fleet, int]:
    """Nodes of two chipsets, some of which come later, and the most slots that a cluster has."""
    fleet, most = Fleet(), 0
    for name in names:
        nodes, slots = chance.choice(((1, 8), (2, 2), (4, 1), (4, 2), (8, 1)))
        speed_permille = chance.choice((1_000, 500, 250))
        for chipset in ("cuda", "rocm"):
            fleet.join(0, Machine(f"{name}-{chipset}", name, 1, chipset))
        for number in range(nodes):
            chipset = chance.choice(("cuda", "cuda", "rocm"))
            machine = Machine(f"{name}-{number}", name, slots, chipset, speed_permille=speed_permille)
            fleet.join(chance.choice((0, 0, 60_000, 300_000)), machine)
        most = max(most, 2 + nodes * slots)
    return fleet, most


def arrivals(chance: random.Random, gap_ms: float, mean_ms: int) -> Arrivals:
    made, at_ms = Arrivals(), 0.0
    for _ in range(JOBS):
        at_ms += chance.expovariate(1 / gap_ms)
        tier = chance.choices(("api", "light", "free"), (1, 1, 2))[0]
        run_ms = 1 + round(chance.expovariate(1 / mean_ms))
        made.add(round(at_ms), tier, f"tenant{chance.randrange(3)}", chance.choice(tuple(CLASSES)), run_ms)
    return made


class Watch:
    """Measures how long a slot stands idle while a job that fits the slot waits, and counts recalls and dispatches to
    free slots."""

    def __init__(self, world: World) -> None:
        policy, versions, jobs, fleet, costs = world
        self.simulation = Simulation(policy, versions, jobs, fleet, costs=costs, observer=self._look)
        self.longest_ms = self.recalls = self.to_free = 0
        self._since: dict[tuple[str, int], int] = {}

    def _look(self, now_ms: int, events: object) -> None:
        state, nodes = self.simulation.state, self.simulation.site.nodes
        assert isinstance(events, list)
        for event in events:
            self.recalls += isinstance(event, RecallOrdered) and event.reason == "elsewhere"
            if isinstance(event, JobDispatched):
                attempt = state.jobs[event.job].open
                self.to_free += attempt is not None and attempt.to_free
        wanted = {
            chipset
            for job in state.jobs.values()
            if job.open is None or (not job.open.started and not nodes[job.open.node].free)
            for chipset in state.versions[job.version].requirements.chipsets
        }
        for name, node in nodes.items():
            idle = [slot for slot, run in enumerate(node.running) if run is None]
            under_way = sum(not attempt.started for attempt in state.node_attempts[name].values())
            for slot in range(node.machine.slots):
                since_ms = self._since.pop((name, slot), now_ms)
                self.longest_ms = max(self.longest_ms, now_ms - since_ms)
                if node.machine.chipset in wanted and slot in idle[under_way:]:
                    self._since[name, slot] = since_ms


def lived(seed: int) -> Watch:
    watch = Watch(world(random.Random(seed)))
    watch.simulation.run()
    assert min(watch.simulation.site.end_ms) >= 0, "every job has ended"
    return watch


@SOME
@given(st.integers(0, 1 << 32))
def test_no_slot_is_idle_while_a_job_that_fits_it_waits_anywhere(seed: int) -> None:
    watch = lived(seed)
    assert watch.longest_ms <= HEARTBEAT_MS
    assert watch.recalls <= watch.to_free
