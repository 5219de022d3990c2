"""What a ledger says of every job's start: when it was submitted, what it was promised and told, when it started.

Read from events alone. A job's SLO is the one that its tier had in the policy in force when the job was accepted.
"""

from __future__ import annotations

import msgspec

from audit.reader import LedgerSource
from contract import events as said
from contract.batch import Batch
from scheduling.chain import Chain, Counted


class Start(msgspec.Struct):
    """A job that was accepted, up to its first start."""

    job: str
    tenant: str
    tier: str
    submitted_ms: int
    slo_ms: int
    p50_ms: int
    """Forecast of its wait at acceptance; with `p90_ms` 0 there was none."""
    p90_ms: int
    started_ms: int = -1
    """-1: it has not started."""
    ended: bool = False
    """It ended without ever having started."""


class Starts(msgspec.Struct):
    """All of a pool's, and the time of its last record."""

    pool: str
    jobs: list[Start]
    now_ms: int


_ENDS_UNSTARTED = (
    said.JobCancelled | said.JobExpired | said.JobDeadLettered | said.JobQuarantined
)  # a job that has started is no longer among the waiting ones


def starts(source: LedgerSource, pool: str) -> Starts:
    """Reads a ledger to its end. Damaged when the chain does not hold."""
    chain = Chain(pool)
    found = Starts(pool, [], 0)
    slos: dict[str, int] = {}
    waiting: dict[str, Start] = {}
    for record in source():
        judged = chain.offer(record.offset, record.value)
        if isinstance(judged, Counted):
            _hear(judged.batch, found, slos, waiting)
    return found


def _hear(batch: Batch, found: Starts, slos: dict[str, int], waiting: dict[str, Start]) -> None:
    found.now_ms = batch.now_ms
    for event in batch.events:
        if isinstance(event, said.JobAccepted):
            start = Start(
                job=event.job,
                tenant=event.tenant,
                tier=event.tier,
                submitted_ms=event.submitted_ms,
                slo_ms=slos[event.tier],
                p50_ms=event.start_p50_ms,
                p90_ms=event.start_p90_ms,
            )
            waiting[event.job] = start
            found.jobs.append(start)
        elif isinstance(event, said.AttemptStarted):
            if (first := waiting.pop(event.job, None)) is not None:
                first.started_ms = batch.now_ms
        elif isinstance(event, _ENDS_UNSTARTED):
            if (unstarted := waiting.pop(event.job, None)) is not None:
                unstarted.ended = True
        elif isinstance(event, said.PolicyAdopted | said.PolicyReverted):
            slos.update({tier: entry.slo_ms for tier, entry in event.policy.tiers.items()})
