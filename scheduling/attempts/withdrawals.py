"""What becomes of jobs whose version was withdrawn. Part of `plan`.

No attempt of a withdrawn version is opened: its jobs that wait stand in no line (`lines.shelve`). Of these, a job that
named an alias is pinned to the version that the alias has now; while the alias has none that may run, the job waits. A
job that named the digest ends. At most REPINS_PER_BATCH_MAX jobs a batch, the oldest of a version first, so that a
withdrawal of a million jobs keeps no heartbeat waiting. A staged attempt is recalled, and a started one is killed if
the operator asked for it; the job then waits like the others. Slots kept for a gang are given back first.

Seams: `target`, `may_end`, `REPINS_PER_BATCH_MAX`.
"""

from __future__ import annotations

from collections.abc import Iterator

from contract.events import Event, GangReleased, JobCancelled, JobRepinned, KillOrdered, RecallOrdered
from contract.lifecycle import JobState
from scheduling.state.pool import State

REPINS_PER_BATCH_MAX = 256
REASON = "withdrawn"


def due(state: State) -> Iterator[Iterator[Event]]:
    """Groups of events, in order."""
    if not state.withdrawn:
        return
    for job_id in sorted(state.withdrawn_open):
        if stop := _stop(state, job_id):
            yield iter((stop,))
    for name in sorted(state.reserved):
        job = state.jobs.get(state.reserved[name].job)
        if job is not None and job.version in state.withdrawn:
            yield iter((GangReleased(job=job.job, reason=REASON),))
    left = REPINS_PER_BATCH_MAX
    for version, alias in sorted(state.shelved):
        moved = target(state, version, alias)
        if moved or may_end(alias):
            shelved = state.shelved[version, alias]
            chosen = [job for _, job in shelved.entries[shelved.start : shelved.start + left]]
            left -= len(chosen)
            for job_id in chosen:
                yield iter((_settled(job_id, moved),))


def is_under_way(state: State) -> bool:
    """Jobs of withdrawn versions wait that can be pinned anew or ended now: the next batch should not wait for a
    tick."""
    return any(may_end(alias) or target(state, version, alias) for version, alias in state.shelved)


def may_end(alias: str) -> bool:
    """The job named no alias: no other version is what its owner asked for."""
    return not alias


def target(state: State, version: str, alias: str) -> str:
    """The version that jobs of a withdrawn one take now; empty: there is none."""
    model = state.versions[version].model
    pointer = state.aliases.get((model, alias)) if alias else None
    known = state.versions.get(pointer.version) if pointer is not None else None
    return known.version if known is not None and known.model == model and known.version not in state.withdrawn else ""


def _settled(job: str, version: str) -> Event:
    return JobRepinned(job=job, version=version) if version else JobCancelled(job=job, reason="version_withdrawn")


def _stop(state: State, job_id: str) -> Event | None:
    """The order that stops the attempt; None: nothing has to be said now."""
    job = state.jobs[job_id]
    attempt = job.open
    if attempt is None or attempt.stop or job.state is JobState.CANCELLING:
        return None
    if not attempt.started:
        return RecallOrdered(job=job_id, dispatch=attempt.dispatch, reason=REASON)
    kills = state.withdrawn[job.version]
    return KillOrdered(job=job_id, dispatch=attempt.dispatch, reason=REASON) if kills else None
