"""How an event moves a job from state to state. Part of `evolve`."""

from __future__ import annotations

from sys import intern
from typing import Any

from contract import events as said
from contract.lifecycle import after
from scheduling.state import ended_ids, lines
from scheduling.state.jobs import Job
from scheduling.state.nodes import Attempt
from scheduling.state.pool import State


def new_job(state: State, event: said.JobAccepted | said.JobPreparing) -> Job:
    return Job(
        job=event.job,
        tenant=intern(event.tenant),
        tier=intern(event.tier),
        model=intern(event.model),
        version=intern(event.version),
        submitted_ms=event.submitted_ms,
        expires_ms=event.expires_ms,
        offset=event.offset,
        digest=event.digest,
        slo_ms=state.slos[event.tier],
        alias=intern(event.alias),
        lined_ms=event.submitted_ms,
    )


def moved(state: State, event: Any) -> Job:
    """The event's job, moved to the state to which the event leads."""
    job = state.jobs[event.job]
    job.state = after(job.state, type(event).__name__)
    return job


def open_of(job: Job) -> Attempt:
    """The job's open attempt or preparation. ValueError when there is none."""
    if job.open is None:
        raise ValueError(f"expected an open attempt of job {job.job}, found none in state {job.state.value}")
    return job.open


def end(state: State, job: Job) -> None:
    """The job has ended: only its id is remembered."""
    del state.jobs[job.job]
    ended_ids.remember(state, job.job, job.tenant)
    lines.drop_deadline(state, job)
