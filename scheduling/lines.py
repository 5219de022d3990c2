"""Where queued jobs wait: lines by tier and requirement class, the resting heap, the deadlines. Part of `evolve`.

Every line and heap is emptied lazily: what is no longer meant is dropped when it comes first, so the first is always
live and readers never write. One that is mostly leftovers is built anew.
"""

from __future__ import annotations

from bisect import bisect_left
from heapq import heapify, heappop, heappush

from contract.inputs import Requirements
from contract.lifecycle import JobState
from scheduling.capacity import fits
from scheduling.state import Entry, Job, Kind, Line, State

NEAR_END = 64
"""New jobs are looked for among so many last entries first: several may have the same append time."""
LEFTOVERS_MAX = 64
"""A line or heap is built anew when it holds more leftovers than live entries and this."""


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
        _insert(line, (job.submitted_ms, job.job))
        line.live += 1


def _insert(line: Line, entry: Entry) -> None:
    """Into its place. New jobs go near the end and requeued ones near the front, so the shorter side makes room."""
    entries, start = line.entries, line.start
    if start == len(entries) or entry > entries[-1]:
        entries.append(entry)
        return
    near_end = max(start, len(entries) - NEAR_END)
    place = bisect_left(entries, entry, near_end if entry > entries[near_end] else start)
    if place < len(entries) and entries[place] == entry:
        return  # left over from before, and meant again
    if start and place - start < len(entries) - place:
        entries[start - 1 : place - 1] = entries[start:place]
        entries[place - 1] = entry
        line.start = start - 1
    else:
        entries.insert(place, entry)


def leave(state: State, job: Job) -> None:
    """A job that was queued no longer is: call it when its state says so (or it is gone from `state.jobs`)."""
    if job.eligible_lease_ms > state.lease_ms:
        _settle_resting(state)
    elif job.eligible_lease_ms >= 0:
        line = line_of(state, job.version, job.tier)
        line.live -= 1
        entries, start, end = line.entries, line.start, len(line.entries)
        if entries[start][1] == job.job:  # as a rule: the head was picked
            start += 1
        while start < end and not is_waiting(state, entries[start][1]):
            start += 1
        line.start = start
        if end > 2 * line.live + LEFTOVERS_MAX:
            line.entries = [entry for entry in entries[start:] if is_waiting(state, entry[1])]
            line.start = 0


def head_of(line: Line) -> Entry | None:
    """The oldest job of the line."""
    return line.entries[line.start] if line.live else None


def second_of(state: State, line: Line) -> Entry | None:
    """The job right behind the head of a line that is not empty, or None."""
    if line.live == 1:
        return None
    place = line.start + 1
    while not is_waiting(state, line.entries[place][1]):
        place += 1
    return line.entries[place]


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
