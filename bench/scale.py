"""`python -m bench.scale`: simulates a million jobs on 9,000 GPUs in 12 clusters and 3 pools through the real core.

The load lasts six hours at a steady rate, but the second hour has ten times that rate. A third of the GPUs is lent for
this burst: asked for when the burst begins, there 15 min later. 1 % of the nodes are lost every hour, and each is
replaced 15 min later. Each pool has a core state of its own; all share one clock and one core of the machine. The
benchmark writes docs/benchmarks-scale.md.
"""

from __future__ import annotations

import argparse
import cProfile
import datetime as dt
import gc
import os
import platform
import pstats
import random
import resource
import time
from array import array
from pathlib import Path

import msgspec

from bench import loads
from bench.report import DOCS, processor
from contract.policy import DISCIPLINES, Cluster, Policy, Pool
from whatif.compare import versions_of
from whatif.outcome import MachineUse, Outcome, machine_use, outcome_of
from whatif.public_traces import TIER_SHARES
from whatif.simulation.arrivals import Arrivals
from whatif.simulation.machines import Fleet, Machine
from whatif.simulation.measured import Measured
from whatif.simulation.nodes import Costs
from whatif.simulation.simulation import Simulation

JOBS, GPUS, HOURS = 1_000_000, 9_000, 6
NODE_SLOTS = 8
POOLS = {"film": 40, "image": 35, "edit": 25}
"""Each pool's share of the jobs and of the GPUs, in per cent."""
CLUSTERS_PER_POOL = 4
HOUR_MS = 3_600_000
BURST_FROM_MS, BURST_TIMES = HOUR_MS, 10
WARM_UP_MS = 900_000
LENT_UNTIL_MS = 5 * HOUR_MS
RUN_MEAN_MS = 120_000
LOSS_PER_HOUR = 0.01
SWITCH_MS, ORDER_MS, FETCH_MS = 22_700, 20, 500
BATCH_MS = 100
"""Minimum gap between batches. The host's 5 ms would make more and smaller batches of the same inputs."""
STEP_MS = 60_000
QUEUED_MIN = 100_000
"""The aim for a batch's time holds with this many jobs queued."""
PROFILE_JOBS = 60_000


class Result(msgspec.Struct):
    jobs: int
    gpus: int
    seconds: float
    decide_seconds: float
    batches: int
    dispatches: int
    p99_ms: float
    p99_deep_ms: float
    """p99 of the batches with at least QUEUED_MIN jobs queued in their pool; 0 when there was no such batch."""
    deep_batches: int
    queued_max: int
    memory_mib: int
    lost_nodes: int
    outcome: Outcome
    running: dict[str, MachineUse]
    profile: list[tuple[str, float]]
    """Each file's share of the time, from a smaller run."""


def policy() -> Policy:
    clusters = {f"{pool}{number}": Cluster(pool, limit=64) for pool in POOLS for number in range(CLUSTERS_PER_POOL)}
    pools = {pool: Pool(number) for number, pool in enumerate(POOLS)}
    return Policy(tiers=loads.TIERS, pools=pools, clusters=clusters, discipline=DISCIPLINES[0])


def arrivals(pool: str, jobs: int) -> Arrivals:
    """The jobs of one pool, drawn by a seed. The hour of the burst has 10 of 15 parts of them."""
    chance = random.Random(f"scale {pool}")
    names, shares = [name for name, _ in TIER_SHARES], [share for _, share in TIER_SHARES]
    hours = [BURST_TIMES if hour * HOUR_MS == BURST_FROM_MS else 1 for hour in range(HOURS)]
    at_ms = sorted(hour * HOUR_MS + chance.randrange(HOUR_MS) for hour in chance.choices(range(HOURS), hours, k=jobs))
    made = Arrivals()
    for at, tier in zip(at_ms, chance.choices(names, shares, k=jobs), strict=True):
        tenant = f"tenant{int(1000 * chance.random() ** 2):03d}"
        model = f"{pool}-{'large' if chance.random() < 0.3 else 'small'}"
        made.add(at, tier, tenant, model, 1 + round(chance.expovariate(1 / RUN_MEAN_MS)))
    return made


def fleet(pool: str, gpus: int) -> tuple[Fleet, int]:
    """The nodes of one pool, and how many of them are lost. Two thirds are there from the beginning, the rest for the
    burst. A new node replaces each that is lost."""
    chance = random.Random(f"fleet {pool}")
    made, lost = Fleet(), 0
    nodes = gpus // NODE_SLOTS
    for number in range(nodes):
        cluster = f"{pool}{number % CLUSTERS_PER_POOL}"
        lent = number % 3 == 2
        at_ms, until_ms = (BURST_FROM_MS + WARM_UP_MS, LENT_UNTIL_MS) if lent else (0, 1 << 60)
        name = f"{cluster}-{number:04}"
        while True:
            made.join(at_ms, Machine(name, cluster, NODE_SLOTS))
            at_ms += round(chance.expovariate(LOSS_PER_HOUR / HOUR_MS))
            if at_ms >= min(until_ms, HOURS * HOUR_MS):
                break
            made.lose(at_ms, name)
            lost += 1
            at_ms += WARM_UP_MS
            if at_ms >= until_ms:
                break
            name = f"{name}r"
        if lent and at_ms >= until_ms:
            made.leave(until_ms, name)
    return made, lost


def simulations(jobs: int, gpus: int) -> tuple[dict[str, Simulation], int]:
    made, lost = {}, 0
    for pool, share in POOLS.items():
        given = arrivals(pool, jobs * share // 100)
        machines, losses = fleet(pool, gpus * share // 100)
        lost += losses
        made[pool] = Simulation(
            policy(),
            versions_of(given),
            given,
            machines,
            pool=pool,
            costs=Costs(SWITCH_MS, ORDER_MS, FETCH_MS),
            batch_ms=BATCH_MS,
            timer=time.perf_counter,
        )
    return made, lost


def run(pools: dict[str, Simulation]) -> int:
    """Runs the pools side by side, minute by minute. Returns the most jobs that were queued at once."""
    at_ms, queued_max, over = 0, 0, False
    while not over:
        at_ms += STEP_MS
        over = min([simulation.advance(at_ms) for simulation in pools.values()])
        queued_max = max(queued_max, sum(simulation.queued for simulation in pools.values()))
    return queued_max


def measure(jobs: int, gpus: int) -> Result:
    pools, lost = simulations(jobs, gpus)
    gc.collect()
    gc.freeze()
    gc.disable()  # the core makes no reference cycles
    began = time.perf_counter()
    queued_max = run(pools)
    seconds = time.perf_counter() - began
    gc.enable()
    measured = Measured(array("d"), array("I"))
    for simulation in pools.values():
        measured.seconds.extend(simulation.measured.seconds)
        measured.queued.extend(simulation.measured.queued)
    whole, starts = _together(list(pools.values()))
    slos = {name: tier.slo_ms for name, tier in loads.TIERS.items()}
    return Result(
        jobs=len(whole),
        gpus=gpus,
        seconds=seconds,
        decide_seconds=sum(measured.seconds),
        batches=len(measured.seconds),
        dispatches=sum(simulation.dispatches for simulation in pools.values()),
        p99_ms=measured.p99_ms(),
        p99_deep_ms=measured.p99_ms(QUEUED_MIN),
        deep_batches=sum(queued >= QUEUED_MIN for queued in measured.queued),
        queued_max=queued_max,
        memory_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        lost_nodes=lost,
        outcome=outcome_of(whole, starts, slos, max(simulation.now_ms for simulation in pools.values())),
        running={pool: machine_use(simulation) for pool, simulation in pools.items()},
        profile=[],
    )


def _together(pools: list[Simulation]) -> tuple[Arrivals, list[int]]:
    """The jobs of all pools in the order of arrival, and when each started."""
    jobs = sorted(
        (job, start_ms)
        for simulation in pools
        for job, start_ms in zip(simulation.arrivals, simulation.site.start_ms, strict=True)
    )
    whole = Arrivals()
    for job, _ in jobs:
        whole.add(*job)
    return whole, [start_ms for _, start_ms in jobs]


def profile(jobs: int, gpus: int) -> list[tuple[str, float]]:
    """Each file's share of the time in a smaller run with as much load for each GPU."""
    pools, _ = simulations(jobs, gpus * jobs // JOBS)
    profiler = cProfile.Profile()
    profiler.runcall(run, pools)
    root = str(Path(__file__).parents[1]) + os.sep
    shares: dict[str, float] = {}
    for (file, _, name), (_, _, own_s, _, _) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        where = file.removeprefix(root) if file.startswith(root) else f"built in: {name}" if file == "~" else "other"
        where = "built in and libraries" if where.startswith(("built in", "other")) else where
        shares[where] = shares.get(where, 0.0) + own_s
    total = sum(shares.values())
    return sorted(((file, own_s / total) for file, own_s in shares.items()), key=lambda pair: -pair[1])[:14]


def page(result: Result) -> str:
    overall = result.outcome.overall
    lines = [
        "# Benchmarks: scale",
        "",
        f"`make bench-scale`, {dt.datetime.now(dt.UTC):%Y-%m-%d}, one core of {os.cpu_count()} ({processor()}), Python"
        f" {platform.python_version()}: {result.jobs:,} jobs on {result.gpus:,} GPUs in {len(POOLS)} pools of"
        f" {CLUSTERS_PER_POOL} clusters, through the real core (`bench/scale.py`).",
        "",
        " ".join(HOW.split()),
        "",
        "| | found | aim |",
        "|---|---|---|",
        f"| the whole simulation | {result.seconds:.0f} s | under 300 s for 1,000,000 jobs |",
        f"| … of which `decide` | {result.decide_seconds:.0f} s in {result.batches:,} batches | |",
        f"| dispatches per second of `decide` | {result.dispatches / result.decide_seconds:,.0f} | |",
        f"| batch, p99 | {result.p99_ms:.2f} ms | |",
        f"| batch with {QUEUED_MIN:,} or more queued in its pool, p99 | {_deep(result)} | under 10 ms |",
        f"| most jobs queued at once, all pools | {result.queued_max:,} | |",
        f"| memory of the process | {result.memory_mib:,} MiB | |",
        f"| nodes lost | {result.lost_nodes} | |",
        f"| attainment | {overall.attainment:.3f} | |",
        f"| worst wait in SLOs | {overall.worst_fraction:.2f} | |",
        f"| jobs that never started | {overall.never_started} | |",
        "",
        "| tier | jobs | attainment | worst wait ÷ SLO | wait p50 | p99 |",
        "|---|---|---|---|---|---|",
    ]
    for tier, waits in result.outcome.tiers.items():
        lines.append(
            f"| {tier} | {waits.jobs:,} | {waits.attainment:.3f} | {waits.worst_fraction:.2f}"
            f" | {waits.p50_ms / 1000:,.1f} s | {waits.p99_ms / 1000:,.1f} s |"
        )
    lines += ["", "| pool | slots used | loads | dispatches |", "|---|---|---|---|"]
    for pool, running in result.running.items():
        lines.append(f"| {pool} | {100 * running.utilisation:.1f} % | {running.switches:,} | {running.dispatches:,} |")
    if result.profile:
        lines += ["", f"Where the time goes (profile of {PROFILE_JOBS:,} jobs on as busy a fleet):", ""]
        lines += ["| file | share of the time |", "|---|---|"]
        lines += [f"| {file} | {100 * share:.0f} % |" for file, share in result.profile]
    return "\n".join([*lines, ""])


HOW = """
Six hours at a steady rate, but the second hour has ten times that rate; run times are exponential with a mean of 120 s;
tiers and SLOs as in [policies](benchmarks-policies.md); two models a pool, a switch costs 22.7 s, an order 20 ms, the
fetch of inputs 500 ms. Nodes have 8 slots. A third of the nodes is asked for when the burst begins, is there 15 min
later and leaves after the fifth hour. 1 % of the nodes are lost every hour, noticed after their lease of 30 s, and
replaced 15 min later. Batches are at least 100 ms apart.
"""


def _deep(result: Result) -> str:
    return f"{result.p99_deep_ms:.2f} ms ({result.deep_batches:,} batches)" if result.deep_batches else "none so deep"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS, help="GPUs shrink with them")
    parser.add_argument("--out", type=Path, default=DOCS)
    parser.add_argument("--without-profile", action="store_true")
    given = parser.parse_args()
    result = measure(given.jobs, GPUS * given.jobs // JOBS)
    if not given.without_profile:
        result.profile = profile(min(PROFILE_JOBS, given.jobs), GPUS)
    (given.out / "benchmarks-scale.md").write_text(page(result))
    print(page(result))


if __name__ == "__main__":
    main()
