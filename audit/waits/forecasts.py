"""How well starts were forecast: the share of forecasts recorded at acceptance that came true."""

from __future__ import annotations

from statistics import median

import msgspec

from audit.waits.starts import Start, Starts, groups


class Coverage(msgspec.Struct):
    """Forecasts of a set of jobs. A forecast holds if the job started within it, and fails once it has passed."""

    by: str
    """The tier; empty: all jobs."""
    scored: int = 0
    within_p50: int = 0
    within_p90: int = 0
    undecided: int = 0
    """Jobs that wait and whose p90 has not passed."""
    without: int = 0
    """Jobs without a forecast (nothing had been learned yet), and jobs that ended before they started."""
    sharpness_permille: int | None = None
    """Median of p90 ÷ wait in permille, of jobs that waited for at least SHARP_FROM_MS; 1,000 would be exact."""


SHARP_FROM_MS = 1_000


def coverage(found: Starts, since_ms: int = 0) -> list[Coverage]:
    """Coverage of jobs submitted at `since_ms` or later: of all jobs first, then by tier."""
    return [_score(name, jobs, found.now_ms) for name, jobs in groups(found, "tier", since_ms).items()]


def _score(name: str, jobs: list[Start], now_ms: int) -> Coverage:
    score = Coverage(name)
    ratios: list[int] = []
    for start in jobs:
        if start.ended or not (start.p50_ms or start.p90_ms):
            score.without += 1
            continue
        started = start.started_ms >= 0
        wait_ms = (start.started_ms if started else now_ms) - start.submitted_ms
        if not started and wait_ms <= start.p90_ms:
            score.undecided += 1
            continue
        score.scored += 1
        score.within_p50 += wait_ms <= start.p50_ms
        score.within_p90 += wait_ms <= start.p90_ms
        if wait_ms >= SHARP_FROM_MS:
            ratios.append(start.p90_ms * 1000 // wait_ms)
    score.sharpness_permille = int(median(ratios)) if ratios else None
    return score
