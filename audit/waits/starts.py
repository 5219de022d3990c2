"""What a ledger says of every job's start: its submission, its SLO, its forecast, and the start itself.

Starts are read from events alone. A job's SLO is the one that its tier had in the policy in force when the job was
accepted."""

from __future__ import annotations

import msgspec

from audit.ledger.damage import Damage
from audit.ledger.past import LedgerPast
from audit.ledger.walk import Walk
from contract import events as said
from contract.batch import Batch
from scheduling.state.pool import initial_state


class Start(msgspec.Struct):
    """A job that was accepted, up to its first start."""

    job: str
    tenant: str
    tier: str
    submitted_ms: int
    slo_ms: int
    p50_ms: int
    """Forecast of the wait at acceptance, or when its media were prepared; there was none if `p90_ms` is 0 too."""
    p90_ms: int
    started_ms: int = -1
    """-1: the job has not started."""
    ended: bool = False
    """The job ended without ever having started."""


class Starts(msgspec.Struct):
    """The starts of all jobs of a pool."""

    pool: str
    jobs: list[Start]
    now_ms: int
    """The time of the last record that can be trusted."""
    damage: Damage | None = None
    """Why the ledger was read no further."""


_ENDS_UNSTARTED = said.JobCancelled | said.JobExpired | said.JobDeadLettered | said.JobQuarantined | said.InputsRefused
"""Ends of a job that has not started: a job that has started is not among the waiting jobs."""


def starts(past: LedgerPast) -> Starts:
    """Reads a ledger from its beginning as far as it can be believed."""
    walk = Walk(past, initial_state(past.pool))
    jobs: list[Start] = []
    slos: dict[str, int] = {}
    waiting: dict[str, Start] = {}
    for batch in walk.believed():
        _hear(batch, jobs, slos, waiting)
    return Starts(past.pool, jobs, walk.state.now_ms, walk.damage)


def groups(found: Starts, by: str, since_ms: int) -> dict[str, list[Start]]:
    """The jobs submitted at `since_ms` or later: all under the empty name, then by `tier` or `tenant`."""
    jobs = [start for start in found.jobs if start.submitted_ms >= since_ms]
    named: dict[str, list[Start]] = {}
    for start in jobs:
        named.setdefault(start.tier if by == "tier" else start.tenant, []).append(start)
    return {"": jobs, **{name: named[name] for name in sorted(named)}}


def _hear(batch: Batch, jobs: list[Start], slos: dict[str, int], waiting: dict[str, Start]) -> None:
    for event in batch.events:
        if isinstance(event, said.JobAccepted | said.JobPreparing):
            forecast = (event.start_p50_ms, event.start_p90_ms) if isinstance(event, said.JobAccepted) else (0, 0)
            start = Start(
                job=event.job,
                tenant=event.tenant,
                tier=event.tier,
                submitted_ms=event.submitted_ms,
                slo_ms=slos[event.tier],
                p50_ms=forecast[0],
                p90_ms=forecast[1],
            )
            waiting[event.job] = start
            jobs.append(start)
        elif isinstance(event, said.InputsPrepared):
            if event.start_p90_ms and (prepared := waiting.get(event.job)) is not None:
                prepared.p50_ms, prepared.p90_ms = event.start_p50_ms, event.start_p90_ms
        elif isinstance(event, said.AttemptStarted):
            if (first := waiting.pop(event.job, None)) is not None:
                first.started_ms = batch.now_ms
        elif isinstance(event, _ENDS_UNSTARTED):
            if (unstarted := waiting.pop(event.job, None)) is not None:
                unstarted.ended = True
        elif isinstance(event, said.PolicyAdopted | said.PolicyReverted):
            slos.update({tier: entry.slo_ms for tier, entry in event.policy.tiers.items()})
