"""Attainment: who started within the SLO in force at acceptance, counted exactly from the ledger."""

from __future__ import annotations

import msgspec

from audit.waits.starts import Start, Starts, groups


class Attainment(msgspec.Struct):
    """How far the SLO was kept for a set of jobs. A job that still waits counts as missed once its SLO has passed."""

    by: str
    """The tier or tenant; empty: all jobs."""
    jobs: int = 0
    """Jobs that were accepted. A refused job belongs to no tier."""
    kept: int = 0
    missed: int = 0
    undecided: int = 0
    """Jobs that wait and whose SLO has not passed."""
    ended: int = 0
    """Jobs that ended by request, deadline or failures before they ever started."""
    worst_wait_ms: int = 0
    """Wait of the job with the worst wait ÷ SLO. With `worst_slo_ms` the fraction is exact."""
    worst_slo_ms: int = 1
    worst_job: str = ""

    @property
    def attainment_permille(self) -> int | None:
        """Kept ÷ decided, rounded down; None when no job is decided."""
        decided = self.kept + self.missed
        return self.kept * 1000 // decided if decided else None

    @property
    def worst_permille(self) -> int:
        """The worst wait ÷ SLO, rounded down."""
        return self.worst_wait_ms * 1000 // self.worst_slo_ms


def attainment(found: Starts, by: str, since_ms: int = 0) -> list[Attainment]:
    """Attainment of jobs submitted at `since_ms` or later: of all jobs first, then by `tier` or `tenant`."""
    return [_count(name, jobs, found.now_ms) for name, jobs in groups(found, by, since_ms).items()]


def _count(name: str, jobs: list[Start], now_ms: int) -> Attainment:
    entry = Attainment(name)
    for start in jobs:
        _add(entry, start, now_ms)
    return entry


def _add(entry: Attainment, start: Start, now_ms: int) -> None:
    entry.jobs += 1
    if start.ended:
        entry.ended += 1
        return
    started = start.started_ms >= 0
    wait_ms = (start.started_ms if started else now_ms) - start.submitted_ms
    if wait_ms > start.slo_ms:
        entry.missed += 1
    elif started:
        entry.kept += 1
    else:
        entry.undecided += 1
    if wait_ms * entry.worst_slo_ms > entry.worst_wait_ms * start.slo_ms:
        entry.worst_wait_ms, entry.worst_slo_ms, entry.worst_job = wait_ms, start.slo_ms, start.job
