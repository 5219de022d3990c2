"""A wait in words: one sentence that a person understands, then the causes with their shares.

Operators read the names of tenants and jobs. A tenant reads nobody else's name: other tenants become a number.
"""

from __future__ import annotations

import msgspec

from audit.ledger.damage import Damage
from audit.waits.causes import Cause, CauseGroup, CauseShare, apportioned
from audit.waits.wait import Wait
from views.moments import duration
from views.words import CLOSED, PREPARATION_CLOSED, SET_ASIDE

SAID_MAX = 3
"""Most causes in the sentence; the table has them all."""
NAMED_MAX = 3
"""Most tenants in the sentence."""
OTHERS = "other tenants"


class WaitCause(msgspec.Struct, frozen=True):
    """One cause of the wait."""

    cause: str
    """on_the_way, down, held, withdrawn, backoff, no_worker, worker_limit, workers_busy, at_worker, fetching, checking,
    decoding, unprepared, worker_backoff, no_node, busy, outranked, passed_over, gang_kept, gathering, limit, draining,
    set_aside, deciding, staged_behind, version, order, parked or ran."""
    words: str
    ms: int
    """The causes' ms sum exactly to wait_ms."""
    percent: int
    """Of the wait; the causes' percents sum to 100."""
    from_ms: int
    """When the cause was first at work."""
    until_ms: int
    """When the cause was last at work."""
    jobs: int
    """How many jobs went first, or were ahead of the job at its node, if that is the cause."""
    tier: str
    """Tier of those jobs."""
    tenant: str
    """Tenant of those jobs; empty when they are another tenant's and you are not an operator."""
    cluster: str
    attempt: int
    """Number of the attempt that ran or was parked."""
    job: str
    """The job ahead at the node, or the gang; empty when it is another tenant's and you are not an operator."""


class DamageNotice(msgspec.Struct, frozen=True):
    """The ledger could be believed up to `trusted_offset` only; the wait is what the ledger shows up to there."""

    offset: int
    text: str
    trusted_offset: int


class Why(msgspec.Struct, frozen=True):
    """Why a job waited, from its submission to its (last) start, or until now while it waits."""

    job: str
    tier: str
    outcome: str
    """waiting, started, or ended (the job never started)."""
    submitted_ms: int
    until_ms: int
    wait_ms: int
    slo_ms: int
    """The tier's SLO when the job was accepted."""
    sentence: str
    causes: list[WaitCause]
    """The largest cause first."""
    chosen: str
    """Why it was the job's turn at last, in the word of the discipline that chose the job."""
    forecast_p50_ms: int
    """The newest forecast of the whole wait; 0: none."""
    forecast_p90_ms: int
    ledger_offset: int
    """The ledger was read up to this offset."""
    damage: DamageNotice | None = None
    unproved_offset: int = -1
    """The reading began at a snapshot of this offset, and the API cannot tell whether a scheduler wrote the snapshot:
    operators make sure with `headrace jobs why --ledger`. -1: it began elsewhere."""


def explained(wait: Wait, *, operator: bool) -> Why:
    """The wait as operators see it, or as its owner does."""
    shares = wait.shares if operator else _for_owner(wait)
    wait_ms = wait.until_ms - wait.submitted_ms
    percents = apportioned({cause: share.ms for cause, share in shares.items()}, 100 if wait_ms else 0)
    ordered = sorted(shares, key=lambda cause: (-shares[cause].ms, cause))
    causes = [_row(cause, shares[cause], percents[cause]) for cause in ordered if shares[cause].ms]
    return Why(
        job=wait.job,
        tier=wait.tier,
        outcome=wait.outcome,
        submitted_ms=wait.submitted_ms,
        until_ms=wait.until_ms,
        wait_ms=wait_ms,
        slo_ms=wait.slo_ms,
        sentence=_sentence(wait, causes),
        causes=causes,
        chosen=wait.chosen,
        forecast_p50_ms=wait.forecast[0],
        forecast_p90_ms=wait.forecast[1],
        ledger_offset=wait.offset,
        damage=_damage(wait.damage),
        unproved_offset=wait.unproved_offset,
    )


def _for_owner(wait: Wait) -> dict[Cause, CauseShare]:
    """Other tenants and their jobs lose their names; causes that are then equal are added up."""
    merged: dict[Cause, CauseShare] = {}
    for cause, share in wait.shares.items():
        own = cause.tenant == wait.tenant
        named = cause if own else msgspec.structs.replace(cause, tenant="", job="")
        known = merged.get(named)
        merged[named] = share if known is None else _both(known, share)
    return merged


def _both(one: CauseShare, other: CauseShare) -> CauseShare:
    return CauseShare(
        one.ms + other.ms,
        min(one.from_ms, other.from_ms),
        max(one.until_ms, other.until_ms),
        one.jobs | other.jobs,
    )


def _damage(damage: Damage | None) -> DamageNotice | None:
    return None if damage is None else DamageNotice(damage.offset, damage.text, damage.trusted_offset)


def _row(cause: Cause, share: CauseShare, percent: int) -> WaitCause:
    return WaitCause(
        cause=cause.group.value,
        words=words(cause, share.jobs),
        ms=share.ms,
        percent=percent,
        from_ms=share.from_ms,
        until_ms=share.until_ms,
        jobs=len(share.jobs),
        tier=cause.tier,
        tenant=cause.tenant,
        cluster=cause.cluster,
        attempt=cause.attempt,
        job=_only(cause, share.jobs),
    )


def _only(cause: Cause, jobs: frozenset[str]) -> str:
    """The one job ahead, if its name may be shown (then its tenant's name is there); or the gang."""
    if cause.group is CauseGroup.STAGED_BEHIND and cause.tenant and len(jobs) == 1:
        return min(jobs)
    return cause.job


def words(cause: Cause, ahead: frozenset[str] = frozenset()) -> str:
    """What a cause did, as the end of a sentence that goes on `because`."""
    jobs = len(ahead)
    match cause.group:
        case CauseGroup.ON_THE_WAY:
            return "it was on its way to the scheduler"
        case CauseGroup.DOWN:
            return "no scheduler led the pool, or the broker was away"
        case CauseGroup.HELD:
            return "the pool was on hold"
        case CauseGroup.WITHDRAWN:
            return "its version was withdrawn, and its alias had not moved to another"
        case CauseGroup.BACKOFF:
            return "it rested after an attempt that did not succeed"
        case CauseGroup.NO_WORKER:
            return "the CPU workers take no new work" if cause.reason == "leaving" else "there was no CPU worker"
        case CauseGroup.WORKER_LIMIT:
            return f"cluster {cause.cluster} prepared as many other jobs' media as its limit allows"
        case CauseGroup.WORKERS_BUSY:
            return "CPU workers prepared other jobs' media"
        case CauseGroup.AT_WORKER:
            return "a CPU worker had its media and had not begun, or its report was on its way"
        case CauseGroup.FETCHING:
            return "a CPU worker fetched its media"
        case CauseGroup.CHECKING:
            return "a CPU worker checked its media"
        case CauseGroup.DECODING:
            return "a CPU worker decoded its media"
        case CauseGroup.UNPREPARED:
            return f"a preparation came to nothing: {PREPARATION_CLOSED.get(cause.reason, cause.reason)}"
        case CauseGroup.WORKER_BACKOFF:
            return "it rested before its media were prepared again"
        case CauseGroup.NO_NODE:
            return "the nodes on which it could run take no new work" if cause.reason == "leaving" else _NO_NODE
        case CauseGroup.BUSY:
            return "slots that fit were taken since before it could be picked"
        case CauseGroup.OUTRANKED:
            return f"{_jobs(jobs)} of tier {cause.tier} of {_tenant(cause)} went first"
        case CauseGroup.PASSED_OVER:
            return f"{_jobs(jobs)} of tier {cause.tier} went first whose version was loaded already"
        case CauseGroup.GANG_KEPT:
            return f"slots were kept free for {_job(cause, 'a gang')}"
        case CauseGroup.GATHERING:
            return "it needs several slots at once, and fewer were free"
        case CauseGroup.LIMIT:
            return f"cluster {cause.cluster} had as many attempts not started as its limit allows"
        case CauseGroup.DRAINING:
            return f"cluster {cause.cluster} drains"
        case CauseGroup.SET_ASIDE:
            return f"nodes of cluster {cause.cluster} {SET_ASIDE.get(cause.reason, 'took nothing new')}"
        case CauseGroup.DECIDING:
            return "the scheduler had not come to it yet"
        case CauseGroup.STAGED_BEHIND:
            return f"at its node in cluster {cause.cluster} it stood behind {_ahead(cause, ahead)}"
        case CauseGroup.VERSION:
            return "its node had to load its version first"
        case CauseGroup.ORDER:
            return "its order and inputs were on their way to the node"
        case CauseGroup.PARKED:
            return f"it was parked in cluster {cause.cluster}: {CLOSED.get(cause.reason, cause.reason)}"
        case CauseGroup.RAN:
            return f"attempt {cause.attempt} was made and came to nothing: {CLOSED.get(cause.reason, cause.reason)}"


_NO_NODE = "there was no node on which it could run"


def _jobs(number: int) -> str:
    return f"{number} job{'' if number == 1 else 's'}"


def _tenant(cause: Cause) -> str:
    return f"tenant {cause.tenant}" if cause.tenant else OTHERS


def _ahead(cause: Cause, ahead: frozenset[str]) -> str:
    if job := _only(cause, ahead):
        return f"job {job}"
    if len(ahead) == 1:
        return "another job"
    return f"{len(ahead)} jobs of {_tenant(cause)}, one after the other"


def _job(cause: Cause, nameless: str) -> str:
    return f"job {cause.job}" if cause.job else nameless


# -- the sentence ------------------------------------------------------------------------------------------------


def _sentence(wait: Wait, causes: list[WaitCause]) -> str:
    wait_ms = wait.until_ms - wait.submitted_ms
    if not wait_ms:
        return f"{'waits' if wait.outcome == 'waiting' else 'did not wait'}: it was submitted this very moment"
    verb = {"waiting": "has waited", "started": "waited", "ended": "never started; it waited"}[wait.outcome]
    slo = f" (its SLO is {duration(wait.slo_ms)})" if wait.slo_ms else ""
    parts = _parts(causes)
    said = [f"{percent} % because {text}" for percent, text in parts[:SAID_MAX]]
    rest = sum(percent for percent, _ in parts[SAID_MAX:])
    if rest:
        said.append(f"{rest} % for other reasons")
    return f"{verb} {duration(wait_ms)}{slo}: " + ", ".join(said)


def _parts(causes: list[WaitCause]) -> list[tuple[int, str]]:
    """(percent, text) of each part, the largest first. All jobs of one tier that went first are one part."""
    parts: dict[str, tuple[int, str]] = {}
    for tier in dict.fromkeys(cause.tier for cause in causes if cause.cause == CauseGroup.OUTRANKED):
        ahead = [cause for cause in causes if cause.cause == CauseGroup.OUTRANKED and cause.tier == tier]
        text = f"{_jobs(sum(cause.jobs for cause in ahead))} of tier {tier} ({_tenants(ahead)}) went first"
        parts["outranked " + tier] = (sum(cause.percent for cause in ahead), text)
    for cause in causes:
        if cause.cause != CauseGroup.OUTRANKED:
            percent, _ = parts.get(cause.words, (0, ""))
            parts[cause.words] = (percent + cause.percent, cause.words)
    return sorted((part for part in parts.values() if part[0]), key=lambda part: -part[0])


def _tenants(causes: list[WaitCause]) -> str:
    named = [cause.tenant for cause in causes if cause.tenant]
    nameless = [OTHERS] if len(named) < len(causes) else []
    if not named:
        return OTHERS
    more = [f"{len(named) - NAMED_MAX} more"] if len(named) > NAMED_MAX else []
    noun = "tenant" if len(named) == 1 else "tenants"
    return f"{noun} {', '.join([*named[:NAMED_MAX], *more, *nameless])}"
