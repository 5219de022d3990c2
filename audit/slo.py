"""The SLO ledger: who started within the SLO in force at acceptance, recomputed exactly from the ledger."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from audit.starts import Start, Starts


class Kept(msgspec.Struct):
    """How an SLO was kept for a set of jobs. A job that still waits counts as missed once its SLO has passed."""

    by: str
    """The tier or tenant; empty: all jobs."""
    jobs: int = 0
    """Accepted. What was refused is no job of any tier."""
    kept: int = 0
    missed: int = 0
    undecided: int = 0
    """Waits, and its SLO has not passed."""
    ended: int = 0
    """Ended by request, deadline or failures before it ever started."""
    worst_wait_ms: int = 0
    """Of the job with the worst wait ÷ SLO, and that SLO: the fraction is exact."""
    worst_slo_ms: int = 1
    worst_job: str = ""

    @property
    def attainment_permille(self) -> int | None:
        """Kept of those decided, rounded down; None when none is."""
        decided = self.kept + self.missed
        return self.kept * 1000 // decided if decided else None

    @property
    def worst_permille(self) -> int:
        """The worst wait ÷ SLO, rounded down."""
        return self.worst_wait_ms * 1000 // self.worst_slo_ms


def kept(found: Starts, by: str, since_ms: int = 0) -> list[Kept]:
    """All jobs first, then by `tier` or `tenant`, of those submitted at this time or later."""
    groups = {"": Kept("")}
    for start in _since(found.jobs, since_ms):
        name = start.tier if by == "tier" else start.tenant
        group = groups.setdefault(name, Kept(name))
        for entry in (groups[""], group):
            _count(entry, start, found.now_ms)
    return [groups[name] for name in sorted(groups)]


def _since(jobs: Iterable[Start], since_ms: int) -> Iterable[Start]:
    return (start for start in jobs if start.submitted_ms >= since_ms)


def _count(entry: Kept, start: Start, now_ms: int) -> None:
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
