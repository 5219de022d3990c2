"""What events about jobs whose media are prepared change (contract.preparation_events). Part of `evolve`."""

from __future__ import annotations

from collections.abc import Callable
from sys import intern
from typing import Any

from contract import events as said
from contract.lifecycle import JobState
from scheduling import disciplines, forecast
from scheduling.attempts.retries import policy_of
from scheduling.state import capacity, lines, preparing, sharing
from scheduling.state.job_moves import end, moved, new_job, open_of
from scheduling.state.jobs import Job
from scheduling.state.nodes import Attempt
from scheduling.state.pool import State

TOLD_TO_STOP = ("cancel", "erase", "expired", "withdrawn", "pre_empted")
"""Reasons of PreparationClosed of which the worker does not know."""


def job_preparing(state: State, event: said.JobPreparing) -> None:
    job = state.jobs[event.job] = new_job(state, event)
    job.state = JobState.PREPARING
    job.media = event.media
    preparing.enter(state, job)
    lines.watch_deadline(state, job)


def preparation_ordered(state: State, event: said.PreparationOrdered) -> None:
    job = moved(state, event)
    if job.preparations == 0:
        sharing.charge_in(preparing.shares_of(state, job.tier), policy_of(state), job)
    preparing.count_turn(state, job)
    preparing.leave(state, job)
    job.preparations += 1
    attempt = job.open = Attempt(
        job=job.job,
        attempt=0,
        dispatch=event.preparation,
        node=intern(event.node),
        session=intern(event.session),
        cluster=intern(event.cluster),
        dispatched_ms=state.now_ms,
    )
    capacity.open_attempt(state, attempt)


def preparation_closed(state: State, event: said.PreparationClosed) -> None:
    job = moved(state, event)
    attempt = _close_preparation(state, job)
    if event.reason in TOLD_TO_STOP:
        state.stopped_preparations = (*state.stopped_preparations, attempt)
    job.worker_losses += event.counts
    job.rests = job.rests + 1 if event.reason == "outage" else 0
    job.eligible_lease_ms = event.eligible_lease_ms
    preparing.enter(state, job)


def _close_preparation(state: State, job: Job) -> Attempt:
    attempt = open_of(job)
    capacity.close_attempt(state, attempt)
    job.open = None
    state.withdrawn_open.pop(job.job, None)
    return attempt


def inputs_prepared(state: State, event: said.InputsPrepared) -> None:
    job = moved(state, event)
    _close_preparation(state, job)
    job.prepared, job.manifest, job.prepared_bytes = event.preparation, event.manifest, event.bytes
    job.worker_losses = job.rests = job.eligible_lease_ms = 0
    job.expected_ms = event.expected_ms
    job.lined_ms = state.now_ms
    forecast.accept(state, lines.line_of(state, job.version, job.tier).requirement_class, job, event)
    lines.enter(state, job)
    disciplines.of(state).entered(state, job, job.attempts == 0)


def inputs_refused(state: State, event: said.InputsRefused) -> None:
    job = moved(state, event)
    if job.open is not None:
        _close_preparation(state, job)
        end(state, job)
    else:
        end(state, job)
        preparing.leave(state, job)


def inputs_dropped(state: State, event: said.InputsDropped) -> None:
    job = moved(state, event)
    if job.eligible_lease_ms >= 0:  # the job stood in its line or rested
        lines.leave(state, job)
        disciplines.of(state).ended(state, job)
    job.prepared = job.manifest = ""
    job.prepared_bytes = job.due_ms = job.basis_ms = 0
    job.eligible_lease_ms = event.eligible_lease_ms
    forecast.settle(state)
    preparing.enter(state, job)


CHANGES: dict[type, Callable[[State, Any], None]] = {
    said.JobPreparing: job_preparing,
    said.PreparationOrdered: preparation_ordered,
    said.PreparationClosed: preparation_closed,
    said.InputsPrepared: inputs_prepared,
    said.InputsRefused: inputs_refused,
    said.InputsDropped: inputs_dropped,
}
