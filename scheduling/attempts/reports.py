"""What a node says amounts to: joins, heartbeats, leaving, and the reports of its attempts. Part of `judge`.

A report counts only if it names the open attempt's dispatch and comes from the node and session to which that dispatch
was sent; any other report is stale. The door has seen to it that reasons, kinds and names of errors are the contract's
(contract.codec.body_of), so nothing that a model or a user wrote reaches the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from contract import inputs, preparation_reports
from contract.bounds import SLOTS_MAX
from contract.events import (
    AttemptFailed,
    AttemptStarted,
    Event,
    JobDeadLettered,
    JobSucceeded,
    KillOrdered,
    Member,
    NodeAdmitted,
    NodeDeparted,
    NodeDrained,
    NodeHeard,
    NodeRefused,
    NodeSlotsChanged,
    NodeUncordoned,
    NodeVersionsChanged,
    ReportStale,
)
from contract.inputs import Input
from contract.lifecycle import JobState
from scheduling.attempts import orders, preparations, retries
from scheduling.state import access, capacity, gang_members
from scheduling.state.capacity import holds_of, limit_of
from scheduling.state.jobs import Job
from scheduling.state.nodes import FAILURES, Attempt, Node
from scheduling.state.pool import State

MISSED_MAX = 3
"""A node that does not list a started attempt in so many heartbeats in a row has forgotten it. The attempt is closed as
`unclaimed`, which is no failure of the job, and the job rests for one backoff (I9)."""


DEAF_HEARTBEATS = 5
"""At least so many heartbeats in a row, each answered by the order: of a lease of 30 s one heartbeat in six may be
late. Orders are lost one by one now and then, five in a row only where nobody hears."""
SPARED_MAX = 4
"""As many failures as a job avoids nodes (avoidance.AVOIDED_MAX)."""


def report_is_current(state: State, node: str, session: str, report: inputs.Report) -> bool:
    """The report is about the open attempt of its job, from a node and session that run the attempt and may say
    this."""
    job = state.jobs.get(report.job)
    attempt = job.open if job is not None else None
    is_of_preparation = isinstance(report, preparation_reports.PreparationReport)
    named = report.preparation if isinstance(report, preparation_reports.PreparationReport) else report.dispatch
    return (
        attempt is not None
        and attempt.dispatch == named
        and attempt.prepares == is_of_preparation
        and (
            (attempt.node == node and attempt.session == session)
            or (bool(attempt.members) and _is_heard(attempt, Member(node, session), report))
        )
    )


def _is_heard(attempt: Attempt, member: Member, report: inputs.Report) -> bool:
    """The node of rank 0 speaks for a gang. Another node is heard only when it says that a rank is lost, and not after
    all were told to stop: then the slots stay taken until the node of rank 0 says that it has stopped."""
    return member in attempt.members and isinstance(report, inputs.Failed | inputs.Stopped) and attempt.stop != "kill"


def node_joined(state: State, record: Input, body: inputs.NodeJoined) -> Iterator[Event]:
    """A session joins only once: a copy of the join of a session that is alive or over is stale. A new session of a
    node that is alive closes what the old session held, whether the new session is admitted or not. Another machine
    with the node's name changes nothing while the node's lease lasts, and neither does one that may speak for a node of
    another cluster only, or one that needs a join token and has none."""
    old = state.nodes.get(body.node)
    past = state.past.get(body.node)
    if (old is not None and old.session == body.session) or (past is not None and body.session in past.sessions):
        yield ReportStale(kind="NodeJoined")
        return
    if old is not None and (is_namesake(old, body) or not old.is_spoken_for_by(record.signer)):
        yield NodeRefused(node=body.node, session=body.session, reason="name_taken")
        return
    if limit_of(state, body.cluster) and access.needs_token(state, record, body):
        yield NodeRefused(node=body.node, session=body.session, reason="no_token")
        return
    if old is not None:
        yield from close_all(state, old, "rejoined")
    if refusal := _refusal(state, body):
        if old is not None:
            yield NodeDeparted(node=old.node, session=old.session)
        yield NodeRefused(node=body.node, session=body.session, reason=refusal)
        return
    yield NodeAdmitted(
        node=body.node,
        session=body.session,
        cluster=body.cluster,
        chipset=body.chipset,
        slots=body.slots,
        gpus=body.gpus,
        memory_mib=body.memory_mib,
        cached=_versions(body.cached),
        address=body.address,
        holds=holds_of(body.slots, body.holds),
        identity=body.identity,
        layers_missing=body.layers_missing,
        kind=body.kind,
    )


def _refusal(state: State, body: inputs.NodeJoined) -> str:
    """Why a machine that may speak for this node may not join; empty when it may. A Refuse for an unknown cluster alone
    reaches a node that came to the wrong pool, so that is said before what the policy asks of its own nodes."""
    if body.address and not gang_members.is_address(body.address):
        return "bad_address"
    if body.slots > SLOTS_MAX:
        return "too_many_slots"
    if body.slots < 1:
        return "no_slots"
    if not limit_of(state, body.cluster):
        return "unknown_cluster"
    if capacity.kind_of(state, body.cluster) != body.kind:
        return "wrong_kind"
    return "not_confined" if body.layers_missing and not access.trusts_models(state) else ""


def is_namesake(node: Node, body: inputs.NodeJoined) -> bool:
    """Another machine uses the name of this node, which is alive. Agents of v0.1.0 give no identity: of two joins the
    later one is then the same machine anew."""
    return bool(node.identity and body.identity) and node.identity != body.identity


def node_heartbeat(state: State, record: Input, body: inputs.NodeHeartbeat) -> Iterator[Event]:
    node = _alive(state, record, body)
    if node is None:
        yield ReportStale(kind="NodeHeartbeat")
        return
    attempts = state.node_attempts[node.node]
    listed = {*body.running, *body.staged}
    missing = sorted(a.dispatch for a in attempts.values() if a.started and a.dispatch not in listed)
    unlisted = sorted(
        a.dispatch for a in attempts.values() if not a.started and a.dispatch not in listed and orders.repeats(state, a)
    )
    yield NodeHeard(node=node.node, session=node.session, missing=tuple(missing), unlisted=tuple(unlisted))
    loaded, cached = _versions(body.loaded), _versions(body.cached) if lists_cached(body) else node.cached
    if loaded != node.loaded or cached != node.cached:
        yield NodeVersionsChanged(node=node.node, session=node.session, loaded=loaded, cached=cached)
    usable = min(body.usable, node.slots) if body.usable >= 0 else node.slots
    holding = body.holding if body.holding in inputs.HOLDING else ""
    if (usable, holding) != (node.usable, node.holding):
        yield NodeSlotsChanged(node=node.node, session=node.session, usable=usable, holding=holding)
    if body.draining and not node.draining:
        yield NodeDrained(node=node.node, session=node.session)
    if missing or unlisted:
        for attempt in [attempts[job] for job in sorted(attempts)]:
            if node.missed.get(attempt.dispatch, 0) >= MISSED_MAX:
                yield from retries.close(state, attempt, "unclaimed", node.node)
            elif is_deaf_to(state, node, attempt):
                if not node.draining:
                    yield NodeDrained(node=node.node, session=node.session, reason="deaf")
                yield from retries.close(state, attempt, "unclaimed", node.node)


def is_deaf_to(state: State, node: Node, attempt: Attempt) -> bool:
    """The node was heard for a whole lease of lease time, in which the scheduler told it again and again, and does not
    know of the attempt: it does not hear (review 5.10). Else its job would wait there for ever, because the node's
    lease never lapses (I9)."""
    times, since_ms = node.unlisted.get(attempt.dispatch, (0, 0))
    return times >= DEAF_HEARTBEATS and state.lease_ms - since_ms >= retries.policy_of(state).node_lease_ms


def lists_cached(body: inputs.NodeHeartbeat) -> bool:
    """The heartbeat has the list of cached versions, and not only the list's digest. Heartbeats of v0.1.0 have no
    digest and always the list."""
    return not body.cached_digest or body.cached_digest == inputs.cached_digest(body.cached)


def node_left(state: State, record: Input, body: inputs.NodeLeft) -> Iterator[Event]:
    """A node that leaves in order fails none of the jobs that it held."""
    node = _alive(state, record, body)
    if node is None:
        yield ReportStale(kind="NodeLeft")
        return
    if not node.draining:
        yield NodeDrained(node=node.node, session=node.session)
    yield from close_all(state, node, "drained")
    yield NodeDeparted(node=node.node, session=node.session)


def node_report(state: State, record: Input, body: inputs.NodeReport) -> Iterator[Event]:
    node = state.nodes.get(body.node)
    is_own = node is not None and node.is_spoken_for_by(record.signer)
    for report in body.reports:
        if is_own and report_is_current(state, body.node, body.session, report):
            yield from _REPORTS[type(report)](state, state.jobs[report.job], report, body.node)
        else:
            yield ReportStale(kind=type(report).__name__)


def _started(state: State, job: Job, report: inputs.Started, node: str) -> Iterator[Event]:
    attempt = _attempt(job)
    if attempt.started:
        yield ReportStale(kind="Started")
        return
    yield AttemptStarted(job=job.job, dispatch=report.dispatch)
    if job.state is JobState.CANCELLING:
        yield KillOrdered(job=job.job, dispatch=report.dispatch, reason=job.ending)


def _succeeded(state: State, job: Job, report: inputs.Succeeded, node: str) -> Iterator[Event]:
    """A cancel that came first in the log wins. A report that overtook its Started says that the attempt started,
    too."""
    if job.state is JobState.CANCELLING:
        yield from retries.close(state, _attempt(job), "overtaken", node)
        return
    attempt = _attempt(job)
    if not attempt.started:
        yield AttemptStarted(job=job.job, dispatch=report.dispatch)
    yield JobSucceeded(
        job=job.job,
        dispatch=report.dispatch,
        manifest=report.manifest,
        bytes=report.bytes,
        load_ms=report.load_ms,
    )
    for share in gang_members.node_shares(attempt) if state.suspects else ():
        suspect = state.suspects.get(share.node)
        if suspect is not None and suspect.cordoned == FAILURES:
            yield NodeUncordoned(node=share.node, reason="success")


def _failed(state: State, job: Job, report: inputs.Failed, node: str) -> Iterator[Event]:
    """A rank of a gang that is being killed may fail because another rank died first: that is no failure of the job. A
    failure on a cordoned node is not held against the job, not even one that no other attempt could mend: so it says of
    any other node, and this one is suspected of making it up."""
    attempt = _attempt(job)
    if attempt.members and attempt.stop == "kill":
        yield from retries.close(state, attempt, _killed(attempt), node)
        return
    closer = retries.closer_of(attempt, node)
    counts = failure_counts(state, job, node)
    yield AttemptFailed(
        job=job.job, dispatch=report.dispatch, kind=report.kind, error=report.error, node=closer, counts=counts
    )
    if counts and report.kind in inputs.FAILURE_KINDS_FINAL and job.state is not JobState.CANCELLING:
        yield JobDeadLettered(job=job.job, failures=job.failures)
        return
    rest_ms = retries.backoff_ms(retries.policy_of(state), max(1, job.failures))
    yield from retries.what_follows(state, job, rest_ms, lacks_inputs=report.kind == "inputs_missing")


def failure_counts(state: State, job: Job, node: str) -> bool:
    """A failure is held against the job, unless its node is cordoned. At most SPARED_MAX failures of a job are not, and
    one a node, so that a job ends that fails everywhere."""
    if not capacity.is_cordoned(state, node):
        return True
    return job.spared >= SPARED_MAX or any(avoided.node == node for avoided in job.avoid)


def _stopped(state: State, job: Job, report: inputs.Stopped, node: str) -> Iterator[Event]:
    """`drained` says that the node takes no new work, before the node's next heartbeat says so."""
    attempt = _attempt(job)
    reason = report.reason
    if reason == "drained" and not state.nodes[node].draining:
        yield NodeDrained(node=node, session=state.nodes[node].session)
    if reason in ("killed", "recalled") and not attempt.stop:
        reason = "unclaimed"
    elif reason == "killed":
        reason = _killed(attempt)
    yield from retries.close(state, attempt, reason, node)


def _killed(attempt: Attempt) -> str:
    return "pre_empted" if attempt.stop_reason == "pre_empt" else "killed"


_REPORTS: dict[type, Callable[[State, Job, Any, str], Iterator[Event]]] = {
    inputs.Started: _started,
    inputs.Succeeded: _succeeded,
    inputs.Failed: _failed,
    inputs.Stopped: _stopped,
    preparation_reports.PreparationDone: preparations.done,
    preparation_reports.PreparationRefused: preparations.refused,
    preparation_reports.PreparationStopped: preparations.stopped,
}


def close_all(state: State, node: Node, reason: str) -> Iterator[Event]:
    """Closes every attempt that the node holds."""
    attempts = state.node_attempts[node.node]
    for attempt in [attempts[job] for job in sorted(attempts)]:
        yield from retries.close(state, attempt, reason, node.node)


def _alive(state: State, record: Input, body: inputs.NodeHeartbeat | inputs.NodeLeft) -> Node | None:
    """The node whose session is alive and which says this itself."""
    node = state.nodes.get(body.node)
    is_own = node is not None and node.session == body.session and node.is_spoken_for_by(record.signer)
    return node if is_own else None


def _attempt(job: Job) -> Attempt:
    assert job.open is not None, "report_is_current found one"
    return job.open


def _versions(versions: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(versions)))
