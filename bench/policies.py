"""`python -m bench.policies`: every queueing discipline on every load, through the real core, and what came of it.

Cells: the public traces and a synthetic day with a burst x offered load 0.9 and 1.3 x a version switch of nothing,
22.7 s and 15 min x limits on dispatched-not-started of 1, 2, 4, 8 and none x every discipline of the contract. Then the
case of two clusters, one half as fast. Writes docs/benchmarks-policies.md, its plot and its figures (JSON).
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bench import loads, policies_report
from contract.policy import DISCIPLINES, UNLIMITED, Cluster, Policy, Pool
from whatif.compare import versions_of
from whatif.outcome import ran, simulated
from whatif.simulation.machines import Fleet, standing, together
from whatif.simulation.nodes import Costs, Node
from whatif.simulation.simulation import Simulation

UTILISATIONS = (0.9, 1.3)
SWITCHES_MS = (0, 22_700, 900_000)
LIMITS = (1, 2, 4, 8, UNLIMITED)
ORDER_MS, FETCH_MS = 20, 200
"""From a decision to its node; fetching a job's inputs, while it is staged."""
CLUSTERS = ("a", "b")
RUN_MEAN_MS = 120_000
"""Where a switch costs something, jobs are generations: they run this long, by the load in slow motion, SLOs too."""
JOBS = 4_000
TWO_CLUSTERS_OFFERED, TWO_CLUSTERS_LIMITS = 1.1, (2, 4, 8, UNLIMITED)
PROCESSES = 2
HEARTBEAT_MS = 5_000


class Cell(msgspec.Struct, frozen=True):
    """One simulation."""

    load: str
    utilisation: float
    switch_ms: int
    limit: int
    discipline: str


class Figure(msgspec.Struct, frozen=True):
    """What came of a cell."""

    cell: Cell
    jobs: int
    slots: int
    attainment: float
    worst_fraction: float
    tier_attainment: dict[str, float]
    tier_p99_ms: dict[str, int]
    used: float
    switches: int
    seconds: float


class TwoClusters(msgspec.Struct, frozen=True):
    """Half the slots half as fast: under a limit, or pushed to the nodes without one."""

    load: str
    limit: int
    api_p99_ms: int
    attainment: float
    idle_ms: int
    """The longest that a slot stood idle while a job that fits it waited, queued or staged elsewhere."""


class Results(msgspec.Struct):
    jobs: int
    figures: list[Figure]
    two_clusters: list[TwoClusters]
    seconds: float


def cells(names: Sequence[str], limits: Sequence[int], disciplines: Sequence[str]) -> Iterator[Cell]:
    for each in itertools.product(names, UTILISATIONS, SWITCHES_MS, limits, disciplines):
        yield Cell(*each)


def policy_of(discipline: str, limit: int, slower: float = 1.0) -> Policy:
    clusters = {
        name: Cluster("main", limit, staged_per_slot=UNLIMITED if limit == UNLIMITED else 1) for name in CLUSTERS
    }
    return Policy(
        tiers=loads.tiers(slower), pools={"main": Pool(0)}, clusters=clusters, discipline=discipline, may_starve=True
    )


def measure(cell: Cell, jobs: int, folder: Path) -> Figure:
    began = time.perf_counter()
    arrivals = loads.load(cell.load, jobs, folder)
    slower = loads.slow_motion(arrivals, RUN_MEAN_MS) if cell.switch_ms else 1.0
    arrivals = loads.scaled(arrivals, slower, slower)
    arrivals, slots = loads.sized(arrivals, cell.utilisation * loads.mean_of_peak(cell.load))
    fleet = together(standing("a", (slots + 1) // 2), standing("b", slots // 2))
    costs = Costs(cell.switch_ms, ORDER_MS, FETCH_MS)
    policy = policy_of(cell.discipline, cell.limit, slower)
    simulation = Simulation(policy, versions_of(arrivals), arrivals, fleet, costs=costs).run()
    outcome, running = simulated(simulation), ran(simulation)
    return Figure(
        cell=cell,
        jobs=len(arrivals),
        slots=slots,
        attainment=outcome.overall.attainment,
        worst_fraction=outcome.overall.worst_fraction,
        tier_attainment={tier: waits.attainment for tier, waits in outcome.tiers.items()},
        tier_p99_ms={tier: waits.p99_ms for tier, waits in outcome.tiers.items()},
        used=running.utilisation,
        switches=running.switches,
        seconds=time.perf_counter() - began,
    )


class IdleWatch:
    """How long a slot stands idle while a job that fits it waits. Every job here fits every slot."""

    def __init__(self) -> None:
        self.longest_ms = 0
        self._since: dict[str, int] = {}
        self.simulation: Simulation | None = None

    def look(self, now_ms: int, _: object) -> None:
        assert self.simulation is not None
        nodes = self.simulation.site.nodes
        waits = self.simulation.queued() > 0 or any(node.staged and not node.free for node in nodes.values())
        for name, node in nodes.items():
            if name in self._since:  # it stood idle until now, whatever it does from now on
                self.longest_ms = max(self.longest_ms, now_ms - self._since[name])
            if waits and _stands_idle(node):
                self._since.setdefault(name, now_ms)
            else:
                self._since.pop(name, None)


def _stands_idle(node: Node) -> bool:
    return node.alive and node.free > len(node.staged)


def measure_two_clusters(load: str, limit: int, jobs: int, folder: Path) -> TwoClusters:
    arrivals = loads.load(load, jobs, folder)
    arrivals, slots = loads.sized(arrivals, TWO_CLUSTERS_OFFERED * loads.mean_of_peak(load))
    each = max(1, round(slots / 1.5))  # one slow slot does half of what a fast one does
    fleet: Fleet = together(standing("a", each), standing("b", each, speed_permille=500))
    watch = IdleWatch()
    watch.simulation = simulation = Simulation(
        policy_of(DISCIPLINES[0], limit),
        versions_of(arrivals),
        arrivals,
        fleet,
        costs=Costs(0, ORDER_MS, FETCH_MS),
        observer=watch.look,
    )
    outcome = simulated(simulation.run())
    return TwoClusters(load, limit, outcome.tiers["api"].p99_ms, outcome.overall.attainment, watch.longest_ms)


def _work(task: tuple[Cell, int, Path]) -> Figure:
    return measure(*task)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.policies", description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS, help="about so many jobs a load")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--loads", nargs="+", choices=loads.LOADS, default=loads.LOADS)
    parser.add_argument("--disciplines", nargs="+", choices=DISCIPLINES, default=DISCIPLINES)
    parser.add_argument("--limits", nargs="+", type=_limit, default=LIMITS)
    parser.add_argument("--traces", type=Path, default=loads.TRACES)
    parser.add_argument("--out", type=Path, default=policies_report.DOCS)
    given = parser.parse_args()
    try:
        for name in set(given.loads) & set(loads.PUBLIC):
            loads.path_of(name, given.traces)
    except loads.TracesMissing as missing:
        parser.error(str(missing))
    began = time.perf_counter()
    tasks = [(cell, given.jobs, given.traces) for cell in cells(given.loads, given.limits, given.disciplines)]
    figures = []
    with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        for figure in pool.imap(_work, tasks, chunksize=4):
            figures.append(figure)
            if len(figures) % 20 == 0:
                took = time.perf_counter() - began
                left = took / len(figures) * (len(tasks) - len(figures))
                print(f"{len(figures)} of {len(tasks)} cells, about {left / 60:.0f} min left", file=sys.stderr)
    two = [
        measure_two_clusters(load, limit, given.jobs, given.traces)
        for load in given.loads
        for limit in TWO_CLUSTERS_LIMITS
    ]
    results = Results(given.jobs, figures, two, time.perf_counter() - began)
    policies_report.write(results, given.out)
    print(policies_report.page(results))


def _limit(text: str) -> int:
    return UNLIMITED if text == "none" else int(text)


if __name__ == "__main__":
    main()
