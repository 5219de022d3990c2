"""`python -m bench.policies`: simulates every queueing discipline on every load, through the real core.

There is one cell for each combination of: a load (the public traces and a synthetic day with a burst), an offered load
(0.9 and 1.3), the cost of a version switch (none, 22.7 s, 15 min), a limit on dispatched-not-started (1, 2, 4, 8, none)
and a discipline of the contract. Then follows the case of two clusters, one half as fast. The benchmark writes
docs/benchmarks-policies.md, its plot and its figures (JSON).
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import loads, policies_report
from bench.figures import Cell, Figure, Results, TwoClusters
from contract.policy import DISCIPLINES, UNLIMITED, Cluster, Policy, Pool
from whatif.compare import versions_of
from whatif.outcome import machine_use, simulated_outcome
from whatif.simulation.machines import Fleet, standing, together
from whatif.simulation.nodes import Costs, SimulatedNode
from whatif.simulation.simulation import Simulation

UTILISATIONS = (0.9, 1.3)
SWITCHES_MS = (0, 22_700, 900_000)
LIMITS = (1, 2, 4, 8, UNLIMITED)
ORDER_MS, FETCH_MS = 20, 200
"""How long an order takes from its decision to its node, and how long a node fetches the inputs of a staged job."""
CLUSTERS = ("a", "b")
RUN_MEAN_MS = 120_000
"""The mean run time where a switch costs something: such jobs are generations. The load is put into slow motion until
jobs run this long on average; SLOs stretch with it."""
JOBS = 4_000
TWO_CLUSTERS_OFFERED, TWO_CLUSTERS_LIMITS = 1.1, (2, 4, 8, UNLIMITED)
PROCESSES = 2
HEARTBEAT_MS = 5_000


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
    outcome, running = simulated_outcome(simulation), machine_use(simulation)
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
    """Measures how long a slot stands idle while a job that fits the slot waits. Every job here fits every slot."""

    def __init__(self) -> None:
        self.longest_ms = 0
        self._since: dict[str, int] = {}
        self.simulation: Simulation | None = None

    def look(self, now_ms: int, _: object) -> None:
        assert self.simulation is not None
        nodes = self.simulation.site.nodes
        waits = self.simulation.queued > 0 or any(node.staged and not node.free for node in nodes.values())
        for name, node in nodes.items():
            if name in self._since:  # the slot stood idle until now, whatever it does next
                self.longest_ms = max(self.longest_ms, now_ms - self._since[name])
            if waits and _stands_idle(node):
                self._since.setdefault(name, now_ms)
            else:
                self._since.pop(name, None)


def _stands_idle(node: SimulatedNode) -> bool:
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
    outcome = simulated_outcome(simulation.run())
    return TwoClusters(load, limit, outcome.tiers["api"].p99_ms, outcome.overall.attainment, watch.longest_ms)


def _work(task: tuple[Cell, int, Path]) -> Figure:
    return measure(*task)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.policies", description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS, help="about how many jobs each load has")
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
