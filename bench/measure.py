"""Reads the stamps that jobs left: latency from submit to start, and the rate of a drain."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")


class Latency(msgspec.Struct, frozen=True):
    """The time from a job's submission to its start."""

    rate_per_s: float
    jobs: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Drain(msgspec.Struct, frozen=True):
    """The time from the first start to the last start of jobs that were all queued before the first."""

    jobs: int
    seconds: float
    per_s: float


def stamps(folder: Path, pattern: str = "*.txt") -> list[tuple[int, int]]:
    """A pair (sent_ns, started_ns) for every job that has started, in the order of starts."""
    pairs = [
        (int(sent), int(started))
        for file in folder.glob(pattern)
        for sent, started in (line.split() for line in file.read_text().splitlines() if line.count(" ") == 1)
    ]
    return sorted(pairs, key=lambda pair: pair[1])


def wait_for(folder: Path, count: int, within_s: float, pattern: str = "*.txt") -> list[tuple[int, int]]:
    """Waits for `count` stamps in the files of this pattern below the folder, and returns them. TimeoutError says how
    many were found in time."""
    deadline = time.monotonic() + within_s
    while (found := sum(file.read_bytes().count(b"\n") for file in folder.glob(pattern))) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"expected {count} starts within {within_s:.0f} s, found {found}")
        time.sleep(0.05)
    return stamps(folder, pattern)


def latency(pairs: Sequence[tuple[int, int]], rate_per_s: float) -> Latency:
    waits = sorted((started - sent) / 1e6 for sent, started in pairs)
    return Latency(rate_per_s, len(waits), quantile(waits, 0.5), quantile(waits, 0.99), waits[-1])


def drain(pairs: Sequence[tuple[int, int]]) -> Drain:
    seconds = (pairs[-1][1] - pairs[0][1]) / 1e9
    return Drain(len(pairs), seconds, (len(pairs) - 1) / seconds)


def quantile(ordered: Sequence[float], q: float) -> float:
    """The quantile `q` by nearest rank."""
    return ordered[min(len(ordered) - 1, math.ceil(q * len(ordered)) - 1)]


def median_of(runs: Sequence[T], by: Callable[[T], float]) -> T:
    """The run whose figure is the median; of an even number of runs, the lower of the two in the middle."""
    ordered = sorted(runs, key=by)
    return ordered[(len(ordered) - 1) // 2]


def median(figures: Sequence[float]) -> float:
    return statistics.median(figures)
