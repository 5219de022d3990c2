"""What an event changes: the only writer of state, and it reads events only.

`fold` takes one ledger record that counts. `decide` does the same in three steps while it makes a record: `begin`, each
event, `seal`. So the state of a scheduler and the state of any reader are the same. An event that the lifecycle table
does not allow raises IllegalTransition; an event that names what is not there raises KeyError. Both mean a defect or an
edited ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import intern
from typing import Any

from contract import events as said
from contract.batch import Batch
from contract.events import Event
from contract.lifecycle import JobState
from scheduling import disciplines, forecast, policy_trial, preparation_changes
from scheduling.attempts.retries import policy_of
from scheduling.picking import limits, switches
from scheduling.state import access, capacity, cordons, ended_ids, job_moves, lines, node_events, preparing, sharing
from scheduling.state.jobs import Job, Loss
from scheduling.state.nodes import Attempt, Reservation
from scheduling.state.pool import Alias, State, Version


def fold(state: State, batch: Batch, record_hash: str, offset: int) -> None:
    """Take one ledger record that counts, with its hash and its offset in `ledger`."""
    begin(state, batch.epoch, batch.seq, batch.now_ms, batch.elapsed_ms)
    for event in batch.events:
        evolve(state, event)
    seal(state, record_hash, offset, batch.position)


def begin(state: State, epoch: int, seq: int, now_ms: int, elapsed_ms: int) -> None:
    """Take a record's header. `elapsed_ms` is added before the inputs are judged, so a heartbeat in this batch starts
    the lease at the later time, and `plan`, which runs after it, finds the node heard (I16)."""
    state.epoch = epoch
    state.seq = seq
    state.now_ms = now_ms
    state.last_lease_ms = state.lease_ms
    state.lease_ms += elapsed_ms
    state.closed_gangs = ()
    state.stopped_preparations = ()
    for cluster in state.clusters.values():
        cluster.was_full = len(cluster.staged) >= cluster.limit
    lines.wake(state)
    preparing.wake(state)
    cordons.wake(state)
    if state.splits:
        lines.cross_over(state)
    ended_ids.forget(state)


def seal(state: State, record_hash: str, offset: int, position: int) -> None:
    """The record is in the ledger with this hash, at this offset. `position`: the offset in `jobs` to read next."""
    state.head_hash = record_hash
    state.head_offset = offset
    state.position = position


def evolve(state: State, event: Event) -> None:
    """Change the state as this event says."""
    _CHANGES[type(event)](state, event)


def _opened(state: State, event: said.Opened) -> None:
    state.session = event.session
    state.release = event.release
    state.rules = event.rules
    if event.signed_from >= 0:  # a scheduler of v0.1.0 that takes over once more says nothing of signatures
        state.signed_from = event.signed_from


def _policy_adopted(state: State, event: said.PolicyAdopted) -> None:
    policy_trial.begin(state, event)
    _adopt(state, event)


def _policy_reverted(state: State, event: said.PolicyReverted) -> None:
    state.trial = None
    _adopt(state, event)


def _pool_held(state: State, event: said.PoolHeld) -> None:
    state.held = True


def _pool_released(state: State, event: said.PoolReleased) -> None:
    state.held = False


def _adopt(state: State, event: said.PolicyAdopted | said.PolicyReverted) -> None:
    before, policy = state.policy, event.policy
    state.policy = policy
    state.fingerprint = event.fingerprint
    for tier, entry in policy.tiers.items():
        state.slos[intern(tier)] = entry.slo_ms
    if state.pool in policy.pools:
        state.partition = policy.pools[state.pool].partition
    for name in sorted(policy.clusters):
        if policy.clusters[name].pool == state.pool:
            capacity.cluster_of(state, intern(name))
    for cluster in state.clusters.values():
        capacity.adopt(state, cluster)
    for node in state.nodes.values():
        node.address = access.address_of(state, node.said_address)
    disciplines.adopt(state, before)


def _version_registered(state: State, event: said.VersionRegistered) -> None:
    version = Version(
        intern(event.model), intern(event.version), event.requirements, event.timeout_ms, intern(event.prepares)
    )
    state.versions[version.version] = version
    lines.class_of(state, version.requirements)


def _alias_pointed(state: State, event: said.AliasPointed) -> None:
    state.aliases[event.model, event.alias] = Alias(event.version, event.move)


def _version_withdrawn(state: State, event: said.VersionWithdrawn) -> None:
    """The event marks the version. `plan` says what becomes of its jobs, a bounded number a batch; those that wait
    leave their lines at once, so that nobody picks them meanwhile."""
    version = state.versions[event.version].version
    is_new = version not in state.withdrawn
    state.withdrawn[version] = event.kill
    if is_new:
        lines.shelve(state, version)
        preparing.shelve(state, version)
        for cluster in state.clusters.values():
            for job in cluster.open:
                if state.jobs[job].version == version:
                    state.withdrawn_open[job] = None


def _job_repinned(state: State, event: said.JobRepinned) -> None:
    job = job_moves.moved(state, event)
    if job.state is JobState.PREPARING:
        preparing.leave(state, job)
        job.version = intern(event.version)
        preparing.enter(state, job)
        return
    lines.leave(state, job)
    disciplines.of(state).ended(state, job)
    job.version = intern(event.version)
    job.expected_ms = state.run_ms.get(job.version, 0)
    lines.line_of(state, job.version, job.tier)
    lines.enter(state, job)
    disciplines.of(state).entered(state, job, job.attempts == 0)


def _job_accepted(state: State, event: said.JobAccepted) -> None:
    job = state.jobs[event.job] = job_moves.new_job(state, event)
    job.expected_ms = event.expected_ms
    forecast.accept(state, lines.line_of(state, job.version, job.tier).requirement_class, job, event)
    lines.enter(state, job)
    disciplines.of(state).entered(state, job, True)
    lines.watch_deadline(state, job)


def _job_refused(state: State, event: said.JobRefused) -> None:
    ended_ids.remember(state, event.job, intern(event.tenant))


def _gang_reserved(state: State, event: said.GangReserved) -> None:
    job_moves.moved(state, event)
    members = tuple(said.Member(node, state.nodes[node].session) for node in event.nodes)
    capacity.keep(state, Reservation(event.job, intern(event.cluster), members, event.free_ms))


def _gang_released(state: State, event: said.GangReleased) -> None:
    _release(state, event.job)


def _release(state: State, job: str) -> None:
    for reservation in [kept for kept in state.reserved.values() if kept.job == job]:
        capacity.release(state, reservation)


def _job_dispatched(state: State, event: said.JobDispatched) -> None:
    job = job_moves.moved(state, event)
    if state.reserved:
        _release(state, job.job)
    if event.attempt == 1:
        sharing.charge(state, policy_of(state), job)
    disciplines.of(state).dispatched(state, job, state.node_attempts[event.node].group, event)
    switches.saw_dispatch(state, state.lines[job.version, job.tier].requirement_class, job.version, event.node)
    lines.leave(state, job)
    job.attempts = event.attempt
    attempt = job.open = Attempt(
        job=job.job,
        attempt=event.attempt,
        dispatch=event.dispatch,
        node=intern(event.node),
        session=intern(event.session),
        cluster=intern(event.cluster),
        dispatched_ms=state.now_ms,
        to_free=state.node_attempts[event.node].ranks() < state.nodes[event.node].usable,
        members=event.members,
        rendezvous=event.rendezvous,
    )
    capacity.open_attempt(state, attempt)
    forecast.settle(state)


def _attempt_started(state: State, event: said.AttemptStarted) -> None:
    job = job_moves.moved(state, event)
    attempt = job_moves.open_of(job)
    attempt.started = True
    attempt.started_ms = state.now_ms
    limits.saw_start(state, state.clusters[attempt.cluster], attempt)
    forecast.start(state, lines.line_of(state, job.version, job.tier).requirement_class, job)
    policy_trial.saw_start(state, job)
    job.has_started = True
    attempt.stop = attempt.stop_reason = ""
    switches.saw_start(state, attempt, job.version)
    capacity.start_attempt(state, attempt, job.version)


def _recall_ordered(state: State, event: said.RecallOrdered) -> None:
    _order_stop(state, job_moves.open_of(job_moves.moved(state, event)), "recall", event.reason)


def _kill_ordered(state: State, event: said.KillOrdered) -> None:
    _order_stop(state, job_moves.open_of(job_moves.moved(state, event)), "kill", event.reason)


def _order_stop(state: State, attempt: Attempt, stop: str, reason: str) -> None:
    attempt.stop = stop
    attempt.stop_reason = intern(reason)
    attempt.stop_ms = state.now_ms


def _job_cancelling(state: State, event: said.JobCancelling) -> None:
    job = job_moves.moved(state, event)
    job.ending = intern(event.reason)
    lines.drop_deadline(state, job)


def _attempt_failed(state: State, event: said.AttemptFailed) -> None:
    job = job_moves.moved(state, event)
    attempt = job_moves.open_of(job)
    if event.counts:
        job.failures += 1
    else:
        job.spared += 1
    cordons.saw_failure(state, job, attempt, intern(event.node or attempt.node), accuses=event.counts)
    _ended_by_itself(state, attempt)
    _close(state, job, event.node)


def _attempt_closed(state: State, event: said.AttemptClosed) -> None:
    job = job_moves.moved(state, event)
    attempt = job_moves.open_of(job)
    if event.counts:
        job.failures += 1
        node = event.node or attempt.node
        cordons.saw_failure(state, job, attempt, node, accuses=False)
        if event.reason == "lost":
            job.losses = (*job.losses, Loss(node, attempt.cluster, state.lease_ms))
    _close(state, job, event.node)


def _ended_by_itself(state: State, attempt: Attempt) -> None:
    if attempt.started:
        limits.saw_end(state, state.clusters[attempt.cluster], attempt)


def _close(state: State, job: Job, closer: str = "") -> None:
    """`closer`: the node that said so, if it is not the node of rank 0."""
    attempt = job_moves.open_of(job)
    capacity.close_attempt(state, attempt)
    if attempt.members:
        state.closed_gangs = (*state.closed_gangs, (attempt, closer or attempt.node))
    job.open = None
    state.withdrawn_open.pop(job.job, None)
    job.eligible_lease_ms = -1


def _job_requeued(state: State, event: said.JobRequeued) -> None:
    job = job_moves.moved(state, event)
    job.eligible_lease_ms = event.eligible_lease_ms
    lines.enter(state, job)
    disciplines.of(state).entered(state, job, False)
    forecast.watch(state, job)


def _start_forecast(state: State, event: said.StartForecast) -> None:
    forecast.renew(state, job_moves.moved(state, event), event)


def _job_succeeded(state: State, event: said.JobSucceeded) -> None:
    job = job_moves.moved(state, event)
    attempt = job_moves.open_of(job)
    _ended_by_itself(state, attempt)
    forecast.ran(state, job.version, state.now_ms - attempt.started_ms)
    switches.saw_success(state, attempt, job.version)
    cordons.saw_success(state, job, attempt)
    _close(state, job)
    job_moves.end(state, job)


def _job_ended(state: State, event: said.JobCancelled) -> None:
    """Any terminal event but JobSucceeded and JobRefused. If there was an attempt, it is closed already."""
    before = state.jobs[event.job].state
    job = job_moves.moved(state, event)
    job_moves.end(state, job)
    if before is JobState.PREPARING:
        preparing.leave(state, job)
    if before is JobState.QUEUED:
        lines.leave(state, job)
        if job.eligible_lease_ms >= 0:  # the job waited or rested: no event before this one closed an attempt
            disciplines.of(state).ended(state, job)
        forecast.settle(state)


def _report_stale(state: State, event: said.ReportStale) -> None:
    kind = intern(event.kind)
    state.stale[kind] = state.stale.get(kind, 0) + 1


def _nothing(state: State, event: Event) -> None:
    """The event is a fact for readers of the ledger; no decision depends on it."""


_CHANGES: dict[type, Callable[[State, Any], None]] = {
    said.Opened: _opened,
    said.PolicyAdopted: _policy_adopted,
    said.PolicyReverted: _policy_reverted,
    said.PoolHeld: _pool_held,
    said.PoolReleased: _pool_released,
    said.VersionRegistered: _version_registered,
    said.AliasPointed: _alias_pointed,
    said.VersionWithdrawn: _version_withdrawn,
    said.JobAccepted: _job_accepted,
    said.JobRepinned: _job_repinned,
    said.StartForecast: _start_forecast,
    said.JobRefused: _job_refused,
    said.JobDuplicated: _nothing,
    said.JobDispatched: _job_dispatched,
    said.GangReserved: _gang_reserved,
    said.GangReleased: _gang_released,
    said.AttemptStarted: _attempt_started,
    said.RecallOrdered: _recall_ordered,
    said.KillOrdered: _kill_ordered,
    said.JobCancelling: _job_cancelling,
    said.AttemptFailed: _attempt_failed,
    said.AttemptClosed: _attempt_closed,
    said.JobRequeued: _job_requeued,
    said.JobSucceeded: _job_succeeded,
    said.JobDeadLettered: _job_ended,
    said.JobQuarantined: _job_ended,
    said.JobCancelled: _job_ended,
    said.JobExpired: _job_ended,
    said.ErasureOrdered: _nothing,
    said.JobErased: _nothing,
    said.NodeRefused: _nothing,
    said.ReportStale: _report_stale,
    said.InputQuarantined: _nothing,
    **preparation_changes.CHANGES,
    **node_events.CHANGES,
}
"""Every event of the contract. Older versions of an event get their line here too."""
