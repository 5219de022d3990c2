"""Where queued jobs wait: lines by tier and requirement class, the resting heap, the deadlines. Part of `evolve`.

A line holds only jobs that wait in it; the heaps are emptied lazily (`heaps`).

A line is in order of arrival, or in order of expected run time under a discipline by size. Under a discipline that
tells late jobs from jobs on time, each line has a late line beside it; jobs cross over when a batch begins.

A job whose version was withdrawn is *shelved*: it is in no line, and counts among the jobs that stand aside beside it.

Seams: `is_shelved`, `shelve`.
"""

from __future__ import annotations

from bisect import bisect_left
from heapq import heappop, heappush

from contract.inputs import Requirements
from contract.lifecycle import JobState
from scheduling.state import heaps, sharing
from scheduling.state.capacity import fits
from scheduling.state.jobs import Job
from scheduling.state.pool import Entry, Line, Queue, RequirementClass, State, TenantQueue

NEAR_END = 64
"""A new job's place is looked for among so many last entries first: several jobs may have the same append time."""
FRONT_COST = 64
"""Moving one entry by Python code, near the front, costs as much as so many entries that `list.insert` moves: 20 to 70
ns against 0.3 ns (100,000 entries, CPython 3.11)."""
LEFTOVERS_MAX = 64
"""The room before a line's first entry is given back when it is half of the list and more than this."""
UNKNOWN_MS = 1 << 40
"""Stands for the run time of a job whose run time is not known: the job goes behind all others."""
SIZE_SHIFT = 64


def class_of(state: State, requirements: Requirements) -> RequirementClass:
    """The requirement class; made when first asked for."""
    requirement_class = state.classes.get(requirements)
    if requirement_class is None:
        requirement_class = state.classes[requirements] = RequirementClass(requirements)
        requirement_class.groups = [group for group in state.groups.values() if fits(requirements, group)]
    return requirement_class


def line_of(state: State, version: str, tier: str) -> Line:
    """The line in which jobs of this version and tier wait; made when first asked for."""
    line = state.lines.get((version, tier))
    if line is None:
        requirement_class = class_of(state, state.versions[version].requirements)
        line = requirement_class.lines.get(tier)
        if line is None:
            line = requirement_class.lines[tier] = Line(tier, requirement_class, sharing.tier_shares(state, tier))
            if state.splits:
                _add_late(line)
        state.lines[version, tier] = line
    return line


def class_of_job(state: State, job: Job) -> RequirementClass:
    return line_of(state, job.version, job.tier).requirement_class


def _add_late(line: Line) -> None:
    line.late = line.requirement_class.late[line.tier] = Line(line.tier, line.requirement_class, line.shares)


def part_of(state: State, job: Job) -> Line:
    """The line a waiting job stands in: its own, or the late one beside it."""
    line = line_of(state, job.version, job.tier)
    if line.late is not None and is_late(state, job):
        return line.late
    return line


def is_late(state: State, job: Job) -> bool:
    """The job has waited longer than its SLO."""
    return state.now_ms - job.submitted_ms > state.slos[job.tier]


def entry_of(state: State, job: Job) -> Entry:
    """Where the job stands in its line."""
    if state.by_size:
        return ((job.expected_ms or UNKNOWN_MS) << SIZE_SHIFT) + job.submitted_ms, job.job
    return job.submitted_ms, job.job


def is_waiting(state: State, job_id: str) -> bool:
    """The job is queued and may be picked now."""
    job = state.jobs.get(job_id)
    return job is not None and job.state is JobState.QUEUED and 0 <= job.eligible_lease_ms <= state.lease_ms


def enter(state: State, job: Job) -> None:
    """A job has become queued: it waits in its line, or rests until its backoff has passed."""
    if job.eligible_lease_ms > state.lease_ms:
        heappush(state.resting, (job.eligible_lease_ms, job.job))
    elif is_shelved(state, job):
        line = line_of(state, job.version, job.tier)
        insert(_shelf_of(state, job.version, job.alias), (job.submitted_ms, job.job))
        line.aside += 1
        sharing.share_of(line.shares, job.tenant).waiting += 1
        line.requirement_class.waiting += 1
    else:
        line = part_of(state, job)
        put(line, job.tenant, entry_of(state, job))
        line.shares.tenants[job.tenant].waiting += 1
        line.requirement_class.waiting += 1
        if job.avoid and line.requirement_class.requirements.ranks == 1:
            for avoided in job.avoid:
                state.avoiders.setdefault(avoided.node, {})[job.job] = None


def is_shelved(state: State, job: Job) -> bool:
    """The job's version was withdrawn: the job waits in no line, and nobody picks it."""
    return job.version in state.withdrawn


def _shelf_of(state: State, version: str, alias: str) -> Queue:
    """Where jobs of a withdrawn version wait."""
    shelved = state.shelved.get((version, alias))
    if shelved is None:
        shelved = state.shelved[version, alias] = Queue()
    return shelved


def shelve(state: State, version: str) -> None:
    """The version was withdrawn: its jobs that wait leave their lines. One pass over these lines, because taking the
    jobs out one by one would cost their number times the length of the line."""
    shelves: dict[str, list[Entry]] = {}
    for job in [job for job_id in state.aside if (job := state.jobs[job_id]).version == version]:
        del state.aside[job.job]
        _avoid_no_more(state, job)
        shelves.setdefault(job.alias, []).append((job.submitted_ms, job.job))
    for (name, _), line in state.lines.items():
        if name == version:
            line.aside += sort_out(state, line, version, shelves)
            if line.late is not None:
                line.aside += sort_out(state, line.late, version, shelves)
    for alias, entries in shelves.items():
        entries.sort()
        _shelf_of(state, version, alias).entries = entries


def sort_out(state: State, line: Line, version: str, shelves: dict[str, list[Entry]]) -> int:
    """Moves the jobs of the version from the line to the shelves of their aliases, and returns how many. Each job of
    the line is looked at once, in few instructions: 100,000 jobs may wait in the batch of a withdrawal."""
    jobs, by_size = state.jobs, state.by_size
    kept: list[Entry] = []
    tenants: set[str] = set()
    for entry in line.entries[line.start :]:
        job = jobs[entry[1]]
        if job.version != version:
            kept.append(entry)
            continue
        tenants.add(job.tenant)
        if job.avoid:
            _avoid_no_more(state, job)
        shelf = shelves.get(job.alias)
        if shelf is None:
            shelf = shelves[job.alias] = []
        shelf.append((job.submitted_ms, job.job) if by_size else entry)
    gone = len(line.entries) - line.start - len(kept)
    if gone:
        line.entries, line.start = kept, 0
        _sort_out_tenants(state, line, tenants)
        sharing.rebuild(line)
    return gone


def _sort_out_tenants(state: State, line: Line, tenants: set[str]) -> None:
    """The queues of these tenants hold what is left of theirs in the line."""
    for tenant in tenants:
        queue = line.tenants[tenant]
        queue.entries, queue.start = [], 0
    for entry in line.entries:
        tenant = state.jobs[entry[1]].tenant
        if tenant in tenants:
            line.tenants[tenant].entries.append(entry)
    for tenant in tenants:
        if not line.tenants[tenant].entries:
            del line.tenants[tenant]


def put(line: Line, tenant: str, entry: Entry) -> None:
    """The tenant's job stands in the line from now on."""
    insert(line, entry)
    queue = sharing.queue_of(line, tenant)
    insert(queue, entry)
    if queue.entries[queue.start] == entry:
        sharing.offer(line, tenant, queue)


def insert(line: Queue, entry: Entry) -> None:
    """Put the entry in its place. New jobs go near the end and requeued jobs near the front: the cheaper side makes
    room."""
    entries, start = line.entries, line.start
    if start == len(entries) or entry > entries[-1]:
        entries.append(entry)
        return
    near_end = max(start, len(entries) - NEAR_END)
    place = bisect_left(entries, entry, near_end if entry > entries[near_end] else start)
    if start and (place - start) * FRONT_COST < len(entries) - place:
        entries[start - 1 : place - 1] = entries[start:place]
        entries[place - 1] = entry
        line.start = start - 1
    else:
        entries.insert(place, entry)


def leave(state: State, job: Job) -> None:
    """A job that was queued is queued no longer. Call this after its state has changed, or after it left
    `state.jobs`."""
    if job.eligible_lease_ms > state.lease_ms:
        heaps.settle(state, state.resting, _rests)
    elif job.eligible_lease_ms >= 0:
        if is_shelved(state, job):
            line = line_of(state, job.version, job.tier)
            _leave_shelf(state, job)
            line.aside -= 1
        elif job.job in state.aside:
            line = line_of(state, job.version, job.tier)
            del state.aside[job.job]
            line.aside -= 1
        else:
            line = _leave_line(state, job)
        _avoid_no_more(state, job)
        line.requirement_class.waiting -= 1
        share = line.shares.tenants[job.tenant]
        share.waiting -= 1
        if not share.waiting:
            sharing.forget(line.shares, job.tenant)


def _avoid_no_more(state: State, job: Job) -> None:
    for avoided in job.avoid:
        jobs = state.avoiders.get(avoided.node, {})
        jobs.pop(job.job, None)
        if not jobs:
            state.avoiders.pop(avoided.node, None)


def _leave_shelf(state: State, job: Job) -> None:
    shelved = state.shelved[job.version, job.alias]
    take(shelved, (job.submitted_ms, job.job))
    if not len(shelved):
        del state.shelved[job.version, job.alias]


def _leave_line(state: State, job: Job) -> Line:
    line = part_of(state, job)
    take_out(line, job.tenant, entry_of(state, job))
    return line


def take_out(line: Line, tenant: str, entry: Entry) -> None:
    """The tenant's job stands in the line no longer."""
    take(line, entry)
    queue = line.tenants[tenant]
    _forget(line, tenant, queue, take(queue, entry))


def stand_aside(state: State, job: Job) -> None:
    """The job still waits, and is not picked."""
    _leave_line(state, job)
    line_of(state, job.version, job.tier).aside += 1
    state.aside[job.job] = None
    state.line_ups += 1


def come_back(state: State, job: Job) -> None:
    """The job stands in its line again, in its own place."""
    del state.aside[job.job]
    line_of(state, job.version, job.tier).aside -= 1
    put(part_of(state, job), job.tenant, entry_of(state, job))
    state.line_ups += 1


def take(line: Queue, entry: Entry) -> bool:
    """Take the entry out of the line; the cheaper side closes the gap. Returns whether the entry was the first."""
    entries, start = line.entries, line.start
    is_first = entries[start] == entry
    if not is_first:
        place = bisect_left(entries, entry, start)
        if place == len(entries) or entries[place] != entry:
            raise ValueError(f"expected job {entry[1]} in its line, found it nowhere; the state is damaged")
        if (place - start) * FRONT_COST > len(entries) - place:
            del entries[place]
            return False
        entries[start + 1 : place + 1] = entries[start:place]
    _skip(line, 1)
    return is_first


def _skip(line: Queue, count: int) -> None:
    """The first `count` entries are gone. Their room is given back once it is half of the list."""
    line.start += count
    if 2 * line.start > len(line.entries) + LEFTOVERS_MAX:
        del line.entries[: line.start]
        line.start = 0


def _forget(line: Line, tenant: str, queue: TenantQueue, has_new_head: bool) -> None:
    """Jobs left the tenant's queue in the line."""
    if queue.start == len(queue.entries):
        del line.tenants[tenant]
    elif has_new_head:
        sharing.offer(line, tenant, queue)


def cross_over(state: State) -> None:
    """Time went on: jobs that have now waited longer than their SLO move to the late lines."""
    for requirement_class in state.classes.values():
        for line in requirement_class.lines.values():
            before_ms = state.now_ms - state.slos[line.tier]
            if line.late is not None and line.start < len(line.entries) and line.entries[line.start][0] < before_ms:
                _cross_over(state, line, line.late, before_ms)


def _cross_over(state: State, line: Line, late: Line, before_ms: int) -> None:
    """Jobs submitted before this time move from the line to the late line beside it."""
    count = bisect_left(line.entries, (before_ms, ""), line.start) - line.start
    moving = line.entries[line.start : line.start + count]
    _skip(line, count)
    tenants: dict[str, None] = {}
    for entry in moving:  # each entry is the first of its tenant by then
        tenant = state.jobs[entry[1]].tenant
        tenants[tenant] = None
        _skip(line.tenants[tenant], 1)
        put(late, tenant, entry)
    kept = [tenant for tenant in tenants if len(line.tenants[tenant])]
    for tenant in tenants:  # empty queues first: an offer may look at every queue of the line
        if not len(line.tenants[tenant]):
            del line.tenants[tenant]
    for tenant in kept:
        sharing.offer(line, tenant, line.tenants[tenant])


def arrange(state: State, splits: bool, by_size: bool) -> None:
    """The discipline or the SLOs changed: every job takes its place anew."""
    state.splits, state.by_size = splits, by_size
    state.aside.clear()
    state.shelved.clear()
    state.avoiders.clear()
    for shares in state.shares.values():
        for share in shares.tenants.values():
            share.waiting = 0
    for requirement_class in state.classes.values():
        requirement_class.late.clear()
        requirement_class.waiting = 0
        for line in requirement_class.lines.values():
            line.entries, line.start, line.aside = [], 0, 0
            line.tenants.clear()
            line.level.clear()
            line.ahead.clear()
            line.late = None
            if splits:
                _add_late(line)
    waiting = [job for job in state.jobs.values() if is_waiting(state, job.job)]
    for job in sorted(waiting, key=lambda job: entry_of(state, job)):
        enter(state, job)


def wake(state: State) -> None:
    """Lease time went on: jobs whose backoff has passed move to their lines."""
    resting = state.resting
    while resting and resting[0][0] <= state.lease_ms:
        eligible_lease_ms, job_id = heappop(resting)
        job = state.jobs.get(job_id)
        if job is not None and job.state is JobState.QUEUED and job.eligible_lease_ms == eligible_lease_ms:
            enter(state, job)
    heaps.settle(state, resting, _rests)


def _rests(state: State, entry: tuple[int, str]) -> bool:
    job = state.jobs.get(entry[1])
    return job is not None and job.state is JobState.QUEUED and job.eligible_lease_ms == entry[0]


def watch_deadline(state: State, job: Job) -> None:
    """A job was accepted: its deadline, if there is one, matters until the job ends or is being ended."""
    if job.expires_ms and job.state is not JobState.CANCELLING:
        heappush(state.deadlines, (job.expires_ms, job.job))


def drop_deadline(state: State, job: Job) -> None:
    """A job ended, or is being ended: its deadline no longer matters."""
    if job.expires_ms:
        heaps.settle(state, state.deadlines, _has_deadline)


def _has_deadline(state: State, entry: tuple[int, str]) -> bool:
    job = state.jobs.get(entry[1])
    return job is not None and job.state is not JobState.CANCELLING
