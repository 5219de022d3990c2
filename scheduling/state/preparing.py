"""Jobs that wait for a CPU worker: in one line for each tier, apart from the lines for slots. Part of `evolve`.

The tenants of a tier take turns here as they do for slots (`sharing`), with shares of their own: a tenant that uploads
much has paid for no slot. A job whose version was withdrawn stands on a shelf, and one that rests stands in no line.
"""

from __future__ import annotations

from heapq import heappop, heappush

from contract.lifecycle import JobState
from scheduling.state import heaps, lines, sharing
from scheduling.state.jobs import Job
from scheduling.state.pool import Entry, Line, Queue, State, TierShares

TURN = 32
"""One order of so many belongs to overdue jobs, as one pick of `promise` does (docs/decisions/0008)."""


def shares_of(state: State, tier: str) -> TierShares:
    """The tier's record; made when first asked for."""
    shares = state.preparing.shares.get(tier)
    if shares is None:
        shares = state.preparing.shares[tier] = TierShares()
    return shares


def line_of(state: State, tier: str) -> Line:
    """The tier's line; made when first asked for."""
    waiting = state.preparing.requirement_class
    line = waiting.lines.get(tier)
    if line is None:
        line = waiting.lines[tier] = Line(tier, waiting, shares_of(state, tier))
    return line


def entry_of(job: Job) -> Entry:
    return job.submitted_ms, job.job


def enter(state: State, job: Job) -> None:
    """The job waits for a CPU worker, or rests before that."""
    if job.eligible_lease_ms > state.lease_ms:
        heappush(state.preparing.resting, (job.eligible_lease_ms, job.job))
        return
    line = line_of(state, job.tier)
    if lines.is_shelved(state, job):
        lines.insert(_shelf_of(state, job.version, job.alias), entry_of(job))
        line.aside += 1
        sharing.share_of(line.shares, job.tenant).waiting += 1
    else:
        lines.put(line, job.tenant, entry_of(job))
        line.shares.tenants[job.tenant].waiting += 1
    line.requirement_class.waiting += 1


def _shelf_of(state: State, version: str, alias: str) -> Queue:
    shelved = state.preparing.shelved.get((version, alias))
    if shelved is None:
        shelved = state.preparing.shelved[version, alias] = Queue()
    return shelved


def leave(state: State, job: Job) -> None:
    """A job that waited or rested here does so no longer. Call this after its state has changed, or after it left
    `state.jobs`."""
    if job.eligible_lease_ms > state.lease_ms:
        heaps.settle(state, state.preparing.resting, _rests)
        return
    line = line_of(state, job.tier)
    if lines.is_shelved(state, job):
        shelved = state.preparing.shelved[job.version, job.alias]
        lines.take(shelved, entry_of(job))
        if not len(shelved):
            del state.preparing.shelved[job.version, job.alias]
        line.aside -= 1
    else:
        lines.take_out(line, job.tenant, entry_of(job))
    line.requirement_class.waiting -= 1
    share = line.shares.tenants[job.tenant]
    share.waiting -= 1
    if not share.waiting:
        sharing.forget(line.shares, job.tenant)


def shelve(state: State, version: str) -> None:
    """The version was withdrawn: its jobs that wait here leave their lines."""
    shelves: dict[str, list[Entry]] = {}
    for line in state.preparing.requirement_class.lines.values():
        line.aside += lines.sort_out(state, line, version, shelves)
    for alias, entries in shelves.items():
        entries.sort()
        _shelf_of(state, version, alias).entries = entries


def overdue(state: State) -> Line | None:
    """The line whose oldest job was the first to have waited `promise_max` SLOs; None: no job has waited so long."""
    promise_max = state.policy.promise_max if state.policy is not None else 0
    best: tuple[int, str, Line] | None = None
    for tier, line in state.preparing.requirement_class.lines.items():
        if len(line):
            submitted_ms, job = line.entries[line.start]
            due_ms = submitted_ms + promise_max * state.slos[tier]
            if due_ms <= state.now_ms and (best is None or (due_ms, job) < best[:2]):
                best = due_ms, job, line
    return best[2] if best is not None else None


def count_turn(state: State, job: Job) -> None:
    """A preparation of the job is ordered. Call this while the job stands in its line."""
    line = overdue(state)
    takes_turn = line is not None and line.entries[line.start] == entry_of(job)
    state.preparing.since = 0 if takes_turn else min(state.preparing.since + 1, TURN - 1)


def wake(state: State) -> None:
    """Lease time went on: jobs that have rested wait again."""
    resting = state.preparing.resting
    while resting and resting[0][0] <= state.lease_ms:
        entry = heappop(resting)
        if _rests(state, entry):
            enter(state, state.jobs[entry[1]])
    heaps.settle(state, resting, _rests)


def _rests(state: State, entry: tuple[int, str]) -> bool:
    job = state.jobs.get(entry[1])
    return (
        job is not None and job.state is JobState.PREPARING and job.open is None and job.eligible_lease_ms == entry[0]
    )
