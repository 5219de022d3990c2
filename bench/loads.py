"""Makes the loads for the benchmark of policies: the public traces, thinned, and a synthetic day with a burst."""

from __future__ import annotations

import math
import random
from functools import cache
from pathlib import Path

from contract.policy import Tier
from whatif import public_traces, traces
from whatif.simulation.arrivals import Arrivals

TRACES = Path(__file__).parents[2] / "shared" / "traces"
PUBLIC = {
    "azure-code": "azure-llm-2023/AzureLLMInferenceTrace_code.csv.gz",
    "azure-conv": "azure-llm-2023/AzureLLMInferenceTrace_conv.csv.gz",
    "mooncake": "mooncake-fast25/conversation_slim.csv.gz",
}
DIURNAL = "diurnal-burst"
LOADS = (*PUBLIC, DIURNAL)

TIERS = {
    "api": Tier(30_000),
    "enterprise": Tier(60_000),
    "unlimited": Tier(300_000),
    "light": Tier(900_000),
    "free": Tier(3_600_000),
}
"""The design's tiers. Their shares of the jobs are those of `whatif.public_traces`."""

DAY_MS = 86_400_000
BURST_FROM_MS, BURST_MS, BURST_TIMES = 14 * 3_600_000, 900_000, 10
SWING = 0.8
RUN_MEAN_MS = 60_000
SLOTS_MIN = 4


class TracesMissing(Exception):
    """The public traces are not where they should be."""


@cache
def load(name: str, jobs: int, folder: Path = TRACES) -> Arrivals:
    """The load of this name with about `jobs` jobs. A trace is thinned evenly, so that its hour keeps its shape."""
    if name == DIURNAL:
        return diurnal(jobs)
    return thinned(traces.read(path_of(name, folder)), jobs)


def path_of(name: str, folder: Path) -> Path:
    """The file of a public trace. Raises TracesMissing when the file is not there."""
    path = folder / PUBLIC[name]
    if not path.is_file():
        raise TracesMissing(f"expected the public traces in {folder}, found no {path}; name their folder by --traces")
    return path


def thinned(arrivals: Arrivals, jobs: int) -> Arrivals:
    """Every n-th job, with the smallest n that leaves at most `jobs` jobs."""
    step = max(1, math.ceil(len(arrivals) / jobs))
    made = Arrivals()
    for number in range(0, len(arrivals), step):
        made.add(*arrivals[number])
    return made


def diurnal(jobs: int, seed: int = 20_260_901) -> Arrivals:
    """A day whose rate swings by 80 %, with a quarter of an hour of ten times the rate; run times are exponential."""
    chance = random.Random(seed)
    names = [name for name, _ in public_traces.TIER_SHARES]
    shares = [share for _, share in public_traces.TIER_SHARES]
    minutes = [_rate(minute * 60_000) for minute in range(DAY_MS // 60_000)]
    places = sorted(
        minute * 60_000 + chance.randrange(60_000) for minute in chance.choices(range(len(minutes)), minutes, k=jobs)
    )
    made = Arrivals()
    for at_ms in places:
        tier = chance.choices(names, shares)[0]
        tenant = f"tenant{math.isqrt(chance.randrange(public_traces.TENANTS**2)):02d}"
        model = chance.choices([name for name, _ in public_traces.SIZE_CLASSES], (5, 3, 2))[0]
        made.add(at_ms, tier, tenant, model, 1 + round(chance.expovariate(1 / RUN_MEAN_MS)))
    return made


def _rate(at_ms: int) -> float:
    rate = 1 + SWING * math.sin(2 * math.pi * (at_ms / DAY_MS - 0.3))
    return rate * BURST_TIMES if BURST_FROM_MS <= at_ms < BURST_FROM_MS + BURST_MS else rate


def mean_of_peak(name: str) -> float:
    """The load's mean rate divided by its peak rate. The day's peak leaves its burst out; a trace counts as having no
    peak, which gives 1."""
    if name != DIURNAL:
        return 1.0
    minutes = range(0, DAY_MS, 60_000)
    return sum(map(_rate, minutes)) / len(minutes) / (1 + SWING)


def sized(arrivals: Arrivals, utilisation: float) -> tuple[Arrivals, int]:
    """How many slots this offered load needs. Run times are stretched a little, so that the offered load is exact."""
    slots = max(SLOTS_MIN, round(arrivals.work_ms / arrivals.span_ms / utilisation))
    factor = utilisation * slots * arrivals.span_ms / arrivals.work_ms
    return scaled(arrivals, 1.0, factor), slots


def slow_motion(arrivals: Arrivals, mean_ms: int) -> float:
    """The factor by which time must slow down until a job runs `mean_ms` on average; 1 when jobs run longer already."""
    return max(1.0, mean_ms * len(arrivals) / arrivals.work_ms)


def tiers(slower: float = 1.0) -> dict[str, Tier]:
    return {name: Tier(round(tier.slo_ms * slower)) for name, tier in TIERS.items()}


def scaled(arrivals: Arrivals, time: float, run_time: float) -> Arrivals:
    made = Arrivals()
    first_ms = arrivals.at_ms[0]
    for at_ms, tier, tenant, model, service_ms, _ in arrivals:
        made.add(round((at_ms - first_ms) * time), tier, tenant, model, round(service_ms * run_time))
    return made
