"""What an input amounts to: one small function per type of input, found by a table.

Nothing here changes state. A judgement is a generator, and `decide.evolving` evolves each of its events before it asks
for the next one: the second report of a record is judged on what the first one did. An input that means nothing any
more is a ReportStale, which changes only counters (I10).

Seams (each a mechanism of its own, replaced one at a time by tests and the simulation to prove that it is needed):
`is_duplicate`, `is_too_old`, `is_older_move`, `is_withdrawn`, `is_to_prepare`, in `reports`: `report_is_current`, and
those of `access`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from contract import inputs, policy_check
from contract.bounds import TIME_MS_MAX
from contract.events import (
    AliasPointed,
    ClusterDraining,
    ClusterReturned,
    ErasureOrdered,
    Event,
    InputQuarantined,
    JobAccepted,
    JobDuplicated,
    JobErased,
    JobPreparing,
    JobRefused,
    NodeCordoned,
    NodeRefused,
    NodeUncordoned,
    PolicyAdopted,
    PoolHeld,
    PoolReleased,
    ReportStale,
    VersionRegistered,
    VersionWithdrawn,
)
from contract.inputs import Input
from contract.lifecycle import JobState
from contract.names import parse_model
from scheduling import forecast
from scheduling.attempts import endings, reports
from scheduling.state import access, capacity, lines
from scheduling.state.nodes import OPERATOR
from scheduling.state.pool import State, Version

BITS = re.compile(r"[0-9a-f]{32}")
ACCESS_ON_TRIAL = (
    "expected a policy on trial to leave the rules of access as they are, found another {}: its reversal would take"
    " that back, and nobody would have asked for it; apply that field without a bound first"
)
ACCESS_TOO_LATE = (
    "expected a policy with another {} to be made just now, found one that came too late for that: a copy of an old"
    " record, or the clock of whoever applied it is wrong; apply it again"
)
KIND_CHANGED = "expected cluster {} to keep its kind, found another kind; give the other kind a cluster of its own name"
REVOKED = "expected a record of a signer whom the policy in force has not revoked, found another"


@lru_cache(maxsize=1024)
def parts_of(model: str) -> tuple[str, str, str]:
    """As `contract.names.parse_model`; three empty strings when the text is no reference to a model."""
    try:
        return parse_model(model)
    except ValueError:
        return ("", "", "")


def judge(state: State, record: Input) -> Iterator[Event]:
    """The events this input leads to. Only `decide` calls this."""
    is_void = access.is_revoked(state, access.speaker_of(state, record))
    judgement = _revoked if is_void else _JUDGEMENTS[type(record.body)]
    return judgement(state, record, record.body)


def _revoked(state: State, record: Input, body: inputs.Body) -> Iterator[Event]:
    """A node is told that it may not join, and what it says meanwhile counts as little as if it were lost. What an
    operator said is kept for people to look at."""
    match body:
        case inputs.NodeJoined():
            yield NodeRefused(node=body.node, session=body.session, reason="revoked")
        case inputs.NodeHeartbeat() | inputs.NodeLeft() | inputs.NodeReport():
            yield ReportStale(kind=type(body).__name__)
        case _:
            yield InputQuarantined(offset=record.offset, reason=REVOKED)


def is_duplicate(state: State, job: str) -> bool:
    """A submission of this id was judged before, and the id is still remembered."""
    return job in state.jobs or job in state.ended


def is_too_old(state: State, body: inputs.Submission) -> bool:
    """A Kafka submission is so old that its first copy may have been run and forgotten. A submission of the api never
    is: the api writes each one once."""
    if body.via == "api" or state.policy is None:
        return False
    age_ms = state.now_ms - body.submitted_ms
    return age_ms > state.policy.submission_age_max_ms or body.submitted_ms < state.forgotten_ms


def is_older_move(state: State, body: inputs.AliasMoved) -> bool:
    """The alias has already made this move or a later one."""
    known = state.aliases.get((body.model, body.alias))
    return known is not None and body.move <= known.move


def is_of_pool(state: State, job: str) -> bool:
    """The id is `<pool>-<32 hex digits>` (contract.names.JOB) with this pool."""
    start = len(state.pool) + 1
    return job.startswith(state.pool) and job[start - 1 : start] == "-" and BITS.fullmatch(job, start) is not None


def _submission(state: State, record: Input, body: inputs.Submission) -> Iterator[Event]:
    if is_duplicate(state, body.job):
        yield JobDuplicated(job=body.job, offset=record.offset, key=record.key)
        return
    if not is_of_pool(state, body.job):
        yield InputQuarantined(offset=record.offset, reason=f"expected a job id of pool {state.pool}, found another")
        return
    if is_too_old(state, body):
        reason = "submission older than submission_age_max: its first copy may have been run and forgotten"
        yield InputQuarantined(offset=record.offset, reason=reason, job=body.job, key=record.key)
        return
    version, refusal = _resolve(state, record, body)
    if version is None or refusal:
        yield JobRefused(job=body.job, tenant=body.tenant, reason=refusal, offset=record.offset, key=record.key)
        return
    # never in the future: a wait is never negative
    submitted_ms = min(body.submitted_ms or record.at_ms, state.now_ms)
    if is_to_prepare(version, body):
        yield JobPreparing(
            job=body.job,
            tenant=body.tenant,
            tier=body.tier,
            model=version.model,
            version=version.version,
            submitted_ms=submitted_ms,
            expires_ms=_deadline(record, body),
            offset=record.offset,
            key=record.key,
            digest=body.digest,
            media=body.media,
            alias=parts_of(body.model)[1],
        )
        return
    p50_ms, p90_ms = forecast.for_new_job(state, lines.class_of(state, version.requirements), body.tier)
    yield JobAccepted(
        job=body.job,
        tenant=body.tenant,
        tier=body.tier,
        model=version.model,
        version=version.version,
        submitted_ms=submitted_ms,
        expires_ms=_deadline(record, body),
        offset=record.offset,
        key=record.key,
        digest=body.digest,
        expected_ms=state.run_ms.get(version.version, 0),
        start_p50_ms=p50_ms,
        start_p90_ms=p90_ms,
        alias=parts_of(body.model)[1],
    )


def is_to_prepare(version: Version, body: inputs.Submission) -> bool:
    """CPU workers must prepare the job's media before it may wait for a slot."""
    return body.media > 0 and version.prepares != ""


def _resolve(state: State, record: Input, body: inputs.Submission) -> tuple[Version | None, str]:
    """The exact version a submission is pinned to, or why it is refused.

    A version that no node fits today is accepted and waits: nodes may come."""
    model, alias, digest = parts_of(body.model)
    if not model:
        return None, "unknown_model"
    if alias:
        pointer = state.aliases.get((model, alias))
        if pointer is None:
            known = any(version.model == model for version in state.versions.values())
            return None, "unknown_alias" if known else "unknown_model"
        digest = pointer.version
    version = state.versions.get(digest)
    if version is None or version.model != model:
        return None, "unknown_version"
    if is_withdrawn(state, digest):
        return None, "version_withdrawn"
    if state.policy is None or body.tier not in state.policy.tiers:
        return None, "unknown_tier"
    deadline = _deadline(record, body)
    if deadline and deadline <= state.now_ms:
        return None, "expired"
    return version, ""


def _deadline(record: Input, body: inputs.Submission) -> int:
    """When the job is ended, by the broker's clock; 0: never."""
    return min(record.at_ms + body.expires_in_ms, TIME_MS_MAX) if body.expires_in_ms else body.expires_ms


def is_withdrawn(state: State, version: str) -> bool:
    return version in state.withdrawn


def _cancel(state: State, record: Input, body: inputs.CancelRequested) -> Iterator[Event]:
    job = state.jobs.get(body.job)
    if job is None or job.state is JobState.CANCELLING or not _may(body.tenant, job.tenant):
        yield ReportStale(kind="CancelRequested")
        return
    yield from endings.end(job, "cancel", inputs.actor_of(record))


def _erase(state: State, record: Input, body: inputs.EraseRequested) -> Iterator[Event]:
    """A job that ended so long ago that its id is forgotten can be erased by an operator only: nobody here knows whose
    job it was."""
    job = state.jobs.get(body.job)
    tenant = job.tenant if job is not None else state.ended.get(body.job)
    if tenant is None:
        allowed = body.tenant == "" and is_of_pool(state, body.job)
    else:
        allowed = _may(body.tenant, tenant)
    if not allowed:
        yield ReportStale(kind="EraseRequested")
        return
    if job is not None and job.state is not JobState.CANCELLING:
        yield from endings.end(job, "erase", inputs.actor_of(record))
    yield ErasureOrdered(job=body.job, actor=inputs.actor_of(record))


def _may(asking: str, owner: str) -> bool:
    """An empty tenant stands for an operator."""
    return asking in ("", owner)


def _erasure_completed(state: State, record: Input, body: inputs.ErasureCompleted) -> Iterator[Event]:
    if body.job in state.jobs or not is_of_pool(state, body.job):
        yield ReportStale(kind="ErasureCompleted")
        return
    yield JobErased(job=body.job, offsets=body.offsets, gone_by_ms=body.gone_by_ms)


def _version_published(state: State, record: Input, body: inputs.VersionPublished) -> Iterator[Event]:
    if body.version in state.versions:
        yield ReportStale(kind="VersionPublished")
        return
    yield VersionRegistered(
        model=body.model,
        version=body.version,
        requirements=body.requirements,
        timeout_ms=body.timeout_ms,
        prepares=body.prepares,
    )


def _alias_moved(state: State, record: Input, body: inputs.AliasMoved) -> Iterator[Event]:
    if is_older_move(state, body):
        yield ReportStale(kind="AliasMoved")
        return
    actor = inputs.actor_of(record)
    yield AliasPointed(model=body.model, alias=body.alias, version=body.version, move=body.move, actor=actor)


def _withdraw(state: State, record: Input, body: inputs.WithdrawRequested) -> Iterator[Event]:
    """Whoever asks again, now to kill, is heard; nobody makes a withdrawal milder."""
    known = state.versions.get(body.version)
    if known is None or known.model != body.model or state.withdrawn.get(body.version, -1) >= body.kill:
        yield ReportStale(kind="WithdrawRequested")
        return
    yield VersionWithdrawn(model=body.model, version=body.version, kill=body.kill, actor=inputs.actor_of(record))


def _policy_applied(state: State, record: Input, body: inputs.PolicyApplied) -> Iterator[Event]:
    """A policy with the fingerprint in force changes nothing. An operator may revoke anybody, themselves too: whoever
    has the installation's key makes a new login."""
    fault = policy_check.fault_of_applied(body)
    field = access.differs(body.policy, state.policy) if not fault and state.policy is not None else ""
    if field and body.revert_jobs:
        fault = ACCESS_ON_TRIAL.format(field)
    elif field and not access.may_change_access(record, body):
        fault = ACCESS_TOO_LATE.format(field)
    if not fault and (cluster := capacity.changes_kind(state, body.policy)):
        fault = KIND_CHANGED.format(cluster)
    if fault:
        yield InputQuarantined(offset=record.offset, reason=fault)
    elif body.fingerprint != state.fingerprint:
        yield PolicyAdopted(
            policy=body.policy,
            fingerprint=body.fingerprint,
            revert_below_permille=body.revert_below_permille,
            revert_jobs=body.revert_jobs,
            actor=inputs.actor_of(record),
        )


def _cluster_drain(state: State, record: Input, body: inputs.ClusterDrainRequested) -> Iterator[Event]:
    cluster = state.clusters.get(body.cluster)
    if cluster is None or (cluster.draining and cluster.deadline_ms == body.deadline_ms):
        yield ReportStale(kind="ClusterDrainRequested")
        return
    yield ClusterDraining(cluster=body.cluster, deadline_ms=body.deadline_ms, actor=inputs.actor_of(record))


def _cluster_activated(state: State, record: Input, body: inputs.ClusterActivated) -> Iterator[Event]:
    cluster = state.clusters.get(body.cluster)
    if cluster is None or not cluster.draining:
        yield ReportStale(kind="ClusterActivated")
        return
    yield ClusterReturned(cluster=body.cluster, actor=inputs.actor_of(record))


def _node_cordon(state: State, record: Input, body: inputs.NodeCordonRequested) -> Iterator[Event]:
    """A node that is gone for now may be cordoned too: it may come back."""
    node, past, suspect = state.nodes.get(body.node), state.past.get(body.node), state.suspects.get(body.node)
    cluster = node.cluster if node is not None else past.cluster if past is not None else ""
    if not cluster or (suspect is not None and suspect.cordoned == OPERATOR):
        yield ReportStale(kind="NodeCordonRequested")
        return
    yield NodeCordoned(node=body.node, cluster=cluster, reason=OPERATOR, actor=inputs.actor_of(record))


def _node_uncordon(state: State, record: Input, body: inputs.NodeUncordonRequested) -> Iterator[Event]:
    if not capacity.is_cordoned(state, body.node):
        yield ReportStale(kind="NodeUncordonRequested")
        return
    yield NodeUncordoned(node=body.node, reason=OPERATOR, actor=inputs.actor_of(record))


def _hold(state: State, record: Input, body: inputs.HoldRequested) -> Iterator[Event]:
    yield ReportStale(kind="HoldRequested") if state.held else PoolHeld(actor=inputs.actor_of(record))


def _release(state: State, record: Input, body: inputs.ReleaseRequested) -> Iterator[Event]:
    yield PoolReleased(actor=inputs.actor_of(record)) if state.held else ReportStale(kind="ReleaseRequested")


def _unreadable(state: State, record: Input, body: inputs.Unreadable) -> Iterator[Event]:
    yield InputQuarantined(offset=record.offset, reason=body.reason)


_JUDGEMENTS: dict[type, Callable[[State, Input, Any], Iterator[Event]]] = {
    inputs.Submission: _submission,
    inputs.CancelRequested: _cancel,
    inputs.EraseRequested: _erase,
    inputs.ErasureCompleted: _erasure_completed,
    inputs.NodeJoined: reports.node_joined,
    inputs.NodeHeartbeat: reports.node_heartbeat,
    inputs.NodeLeft: reports.node_left,
    inputs.NodeReport: reports.node_report,
    inputs.VersionPublished: _version_published,
    inputs.AliasMoved: _alias_moved,
    inputs.PolicyApplied: _policy_applied,
    inputs.ClusterDrainRequested: _cluster_drain,
    inputs.ClusterActivated: _cluster_activated,
    inputs.NodeCordonRequested: _node_cordon,
    inputs.NodeUncordonRequested: _node_uncordon,
    inputs.HoldRequested: _hold,
    inputs.ReleaseRequested: _release,
    inputs.WithdrawRequested: _withdraw,
    inputs.Unreadable: _unreadable,
}
"""Every body of the contract."""
