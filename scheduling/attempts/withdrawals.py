"""What becomes of jobs whose version was withdrawn. Part of `plan`.

No attempt of a withdrawn version is opened: its jobs that wait stand in no line (`lines.shelve`). Of these, a job that
named an alias is pinned to the version that the alias has now; while the alias has none that may run, the job waits. A
job that named the digest ends. At most REPINS_PER_BATCH_MAX jobs a batch, the oldest of a version first, so that a
withdrawal of a million jobs keeps no heartbeat waiting. A staged attempt is recalled, and a started one is killed if
the operator asked for it; the job then waits like the others. Slots kept for a gang are given back first. A preparation
is closed, and its job treated like those that wait.

Seams: `target`, `may_end`, `drops_inputs`, `REPINS_PER_BATCH_MAX`.
"""

from __future__ import annotations

from collections.abc import Iterator

from contract.events import (
    Event,
    GangReleased,
    InputsDropped,
    JobCancelled,
    JobRepinned,
    KillOrdered,
    RecallOrdered,
)
from contract.lifecycle import JobState
from scheduling.attempts import retries
from scheduling.state.jobs import Job
from scheduling.state.pool import State

REPINS_PER_BATCH_MAX = 256
REASON = "withdrawn"


def due(state: State) -> Iterator[Iterator[Event]]:
    """Groups of events, in order."""
    if not state.withdrawn:
        return
    for job_id in sorted(state.withdrawn_open):
        if stops := _stop(state, job_id):
            yield stops
    for name in sorted(state.reserved):
        job = state.jobs.get(state.reserved[name].job)
        if job is not None and job.version in state.withdrawn:
            yield iter((GangReleased(job=job.job, reason=REASON),))
    left = REPINS_PER_BATCH_MAX
    for shelves in (state.shelved, state.preparing.shelved):
        for version, alias in sorted(shelves):
            moved = target(state, version, alias)
            if moved or may_end(alias):
                shelved = shelves[version, alias]
                chosen = [job for _, job in shelved.entries[shelved.start : shelved.start + left]]
                left -= len(chosen)
                for job_id in chosen:
                    yield _settled(state, job_id, moved)


def is_under_way(state: State) -> bool:
    """Jobs of withdrawn versions wait that can be pinned anew or ended now: the next batch should not wait for a
    tick."""
    shelves = (*state.shelved, *state.preparing.shelved)
    return any(may_end(alias) or target(state, version, alias) for version, alias in shelves)


def may_end(alias: str) -> bool:
    """The job named no alias: no other version is what its owner asked for."""
    return not alias


def target(state: State, version: str, alias: str) -> str:
    """The version that jobs of a withdrawn one take now; empty: there is none."""
    model = state.versions[version].model
    pointer = state.aliases.get((model, alias)) if alias else None
    known = state.versions.get(pointer.version) if pointer is not None else None
    return known.version if known is not None and known.model == model and known.version not in state.withdrawn else ""


def _settled(state: State, job_id: str, version: str) -> Iterator[Event]:
    """Inputs that were prepared for a version with other rules serve no longer."""
    if not version:
        yield JobCancelled(job=job_id, reason="version_withdrawn")
        return
    job = state.jobs[job_id]
    drops = job.state is JobState.QUEUED and drops_inputs(state, job, version)
    yield JobRepinned(job=job_id, version=version)
    if drops:
        yield InputsDropped(job=job_id, preparation=job.prepared, reason=REASON)


def drops_inputs(state: State, job: Job, version: str) -> bool:
    """The job names media, and this version asks for other inputs than the job's own version."""
    return job.media > 0 and state.versions[version].prepares != state.versions[job.version].prepares


def _stop(state: State, job_id: str) -> Iterator[Event] | None:
    """The events that stop the attempt; None: nothing has to be said now. A preparation for a withdrawn version is of
    no use, and nothing of it has to be waited for."""
    job = state.jobs[job_id]
    attempt = job.open
    if attempt is None or attempt.stop or job.state is JobState.CANCELLING:
        return None
    if attempt.prepares:
        return retries.close(state, attempt, REASON, attempt.node)
    if not attempt.started:
        return iter((RecallOrdered(job=job_id, dispatch=attempt.dispatch, reason=REASON),))
    kills = state.withdrawn[job.version]
    return iter((KillOrdered(job=job_id, dispatch=attempt.dispatch, reason=REASON),)) if kills else None
