"""Where queued jobs wait: lines by tier and requirement class, the resting heap, the deadlines. Part of `evolve`.

Every heap is emptied lazily: what is no longer meant is dropped when it comes to the top, so the top is always live
and readers never write. A heap that is mostly leftovers is built anew.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from contract.inputs import Requirements
from contract.lifecycle import JobState
from scheduling.capacity import fits
from scheduling.state import Job, Kind, Line, State

LEFTOVERS_MAX = 64
"""A heap is built anew when it holds more leftovers than live entries and this."""


def kind_of(state: State, requirements: Requirements) -> Kind:
    """The requirement class; made when first asked for."""
    kind = state.kinds.get(requirements)
    if kind is None:
        kind = state.kinds[requirements] = Kind(requirements)
        kind.groups = [group for group in state.groups.values() if fits(requirements, group)]
    return kind


def line_of(state: State, version: str, tier: str) -> Line:
    """The line in which jobs of this version and tier wait; made when first asked for."""
    line = state.lines.get((version, tier))
    if line is None:
        kind = kind_of(state, state.versions[version].requirements)
        line = kind.lines.get(tier)
        if line is None:
            line = kind.lines[tier] = Line(tier, kind)
        state.lines[version, tier] = line
    return line


def is_waiting(state: State, job_id: str) -> bool:
    """The job is queued and may be picked now."""
    job = state.jobs.get(job_id)
    return job is not None and job.state is JobState.QUEUED and 0 <= job.eligible_lease_ms <= state.lease_ms


def enter(state: State, job: Job) -> None:
    """A job that just became queued waits in its line, or rests until its backoff has passed."""
    if job.eligible_lease_ms > state.lease_ms:
        heappush(state.resting, (job.eligible_lease_ms, job.job))
    else:
        line = line_of(state, job.version, job.tier)
        heappush(line.heap, (job.submitted_ms, job.job))
        line.live += 1


def leave(state: State, job: Job) -> None:
    """A job that was queued no longer is: call it when its state says so (or it is gone from `state.jobs`)."""
    if job.eligible_lease_ms > state.lease_ms:
        _settle_resting(state)
    elif job.eligible_lease_ms >= 0:
        line = line_of(state, job.version, job.tier)
        line.live -= 1
        heap = line.heap
        if heap[0][1] == job.job:  # as a rule: the head was picked
            heappop(heap)
        while heap and not is_waiting(state, heap[0][1]):
            heappop(heap)
        if len(heap) > 2 * line.live + LEFTOVERS_MAX:
            line.heap = [entry for entry in heap if is_waiting(state, entry[1])]
            heapify(line.heap)


def wake(state: State) -> None:
    """Lease time went on: jobs whose backoff has passed move to their lines."""
    resting = state.resting
    while resting and resting[0][0] <= state.lease_ms:
        eligible_lease_ms, job_id = heappop(resting)
        job = state.jobs.get(job_id)
        if job is not None and job.state is JobState.QUEUED and job.eligible_lease_ms == eligible_lease_ms:
            enter(state, job)
    _settle_resting(state)


def _settle_resting(state: State) -> None:
    resting = state.resting
    while resting and not _rests(state, resting[0]):
        heappop(resting)
    if len(resting) > 2 * len(state.jobs) + LEFTOVERS_MAX:
        state.resting = [entry for entry in resting if _rests(state, entry)]
        heapify(state.resting)


def _rests(state: State, entry: tuple[int, str]) -> bool:
    job = state.jobs.get(entry[1])
    return job is not None and job.state is JobState.QUEUED and job.eligible_lease_ms == entry[0]


def watch_deadline(state: State, job: Job) -> None:
    """A job with a deadline was accepted."""
    if job.expires_ms:
        heappush(state.deadlines, (job.expires_ms, job.job))


def drop_deadline(state: State, job: Job) -> None:
    """A job ended, or is being ended: its deadline no longer matters."""
    if not job.expires_ms:
        return
    deadlines = state.deadlines
    while deadlines and not has_deadline(state, deadlines[0][1]):
        heappop(deadlines)
    if len(deadlines) > 2 * len(state.jobs) + LEFTOVERS_MAX:
        state.deadlines = [entry for entry in deadlines if has_deadline(state, entry[1])]
        heapify(state.deadlines)


def has_deadline(state: State, job_id: str) -> bool:
    job = state.jobs.get(job_id)
    return job is not None and job.expires_ms > 0 and job.state is not JobState.CANCELLING
