"""What must hold of the lines in which jobs wait: that they are what a naive recount of the jobs gives. Part of
`invariants`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from contract.lifecycle import JobState
from scheduling.state import sharing
from scheduling.state.jobs import Job
from scheduling.state.lines import entry_of
from scheduling.state.pool import ClassPace, Entry, Line, PromiseFacts, RequirementClass, State
from scheduling.state.preparing import TURN


def lines(state: State) -> Iterator[str]:
    waiting: dict[int, list[Job]] = {}
    tenants: Counter[tuple[str, str]] = Counter()
    aside: Counter[int] = Counter()
    avoiders: dict[str, set[str]] = {}
    shelved: dict[tuple[str, str], list[Entry]] = {}
    for job in state.jobs.values():
        if job.state is JobState.QUEUED and 0 <= job.eligible_lease_ms <= state.lease_ms:
            line = state.lines[job.version, job.tier]
            tenants[job.tier, job.tenant] += 1
            if job.version in state.withdrawn:
                shelved.setdefault((job.version, job.alias), []).append((job.submitted_ms, job.job))
                aside[id(line)] += 1
                continue
            if job.avoid and line.requirement_class.requirements.ranks == 1:
                for avoided in job.avoid:
                    avoiders.setdefault(avoided.node, set()).add(job.job)
            if job.job in state.aside:
                aside[id(line)] += 1
                continue
            if state.splits and line.late is not None and state.now_ms - job.submitted_ms > state.slos[job.tier]:
                line = line.late
            waiting.setdefault(id(line), []).append(job)
    if {node: set(jobs) for node, jobs in state.avoiders.items()} != avoiders:
        yield "which jobs avoid a node is not what the jobs say"
    if {key: queue.entries[queue.start :] for key, queue in state.shelved.items()} != {
        key: sorted(entries) for key, entries in shelved.items()
    }:
        yield "which jobs wait with a withdrawn version is not what the jobs say"
    if sum(aside.values()) != len(state.aside) + sum(len(entries) for entries in shelved.values()):
        yield f"{len(state.aside)} jobs stand aside, {sum(aside.values())} of them wait"
    for requirement_class in state.classes.values():
        lines = (*requirement_class.lines.values(), *requirement_class.late.values())
        if any(line.aside != aside[id(line)] for line in lines):
            yield f"class {requirement_class.requirements}: its lines count other jobs aside than there are"
        if state.splits and requirement_class.late.keys() != requirement_class.lines.keys():
            yield f"class {requirement_class.requirements} has no late lines"
        if requirement_class.waiting != sum(len(line) + line.aside for line in lines):
            yield f"class {requirement_class.requirements} counts {requirement_class.waiting} jobs, its lines others"
        if (state.promise != PromiseFacts() or requirement_class.pace is not None) and not state.splits:
            yield f"class {requirement_class.requirements} keeps facts of a discipline that is not in force"
        if requirement_class.pace is not None:
            yield from _pace(state, requirement_class, requirement_class.pace)
        for line in lines:
            yield from _line(state, line, waiting.get(id(line), []))
    for tier, shares in sorted(state.shares.items()):
        counted = {tenant: share.waiting for tenant, share in shares.tenants.items() if share.waiting}
        if counted != {tenant: count for (name, tenant), count in tenants.items() if name == tier}:
            yield f"tier {tier} counts other jobs of its tenants than there are"
        if min((tag for tag in state.fair.tags.values()), default=state.fair.virtual + 1) <= state.fair.virtual:
            yield "a tier's tag is not above virtual time and still kept"


def preparing_lines(state: State) -> Iterator[str]:
    waiting: dict[str, list[Job]] = {}
    shelved: dict[tuple[str, str], list[Entry]] = {}
    tenants: Counter[tuple[str, str]] = Counter()
    resting = set(state.preparing.resting)
    for job in state.jobs.values():
        if job.state is not JobState.PREPARING or job.open is not None:
            continue
        if job.eligible_lease_ms > state.lease_ms:
            if (job.eligible_lease_ms, job.job) not in resting:
                yield f"job {job.job} rests before it is prepared and will not be woken"
            continue
        tenants[job.tier, job.tenant] += 1
        if job.version in state.withdrawn:
            shelved.setdefault((job.version, job.alias), []).append((job.submitted_ms, job.job))
        else:
            waiting.setdefault(job.tier, []).append(job)
    if {key: queue.entries[queue.start :] for key, queue in state.preparing.shelved.items()} != {
        key: sorted(entries) for key, entries in shelved.items()
    }:
        yield "which jobs wait unprepared with a withdrawn version is not what the jobs say"
    requirement_class = state.preparing.requirement_class
    if requirement_class.waiting != sum(map(len, waiting.values())) + sum(map(len, shelved.values())):
        yield f"{requirement_class.waiting} jobs are said to wait for a CPU worker, and others do"
    for tier in sorted(waiting.keys() | requirement_class.lines.keys()):
        line = requirement_class.lines.get(tier)
        if line is None:
            yield f"jobs of tier {tier} wait for a CPU worker in no line"
        else:
            yield from _line(state, line, waiting.get(tier, []))
    if not 0 <= state.preparing.since < TURN:
        yield f"{state.preparing.since} preparations are said to have gone since the turn of an overdue job"
    for tier, shares in sorted(state.preparing.shares.items()):
        counted = {tenant: share.waiting for tenant, share in shares.tenants.items() if share.waiting}
        if counted != {tenant: count for (name, tenant), count in tenants.items() if name == tier}:
            yield f"tier {tier} counts other jobs of its tenants before CPU workers than there are"


def _pace(state: State, requirement_class: RequirementClass, pace: ClassPace) -> Iterator[str]:
    for tier, line in sorted(pace.lines.items()):
        if list(line.shadow) != sorted(line.shadow):
            yield f"the shadow's line {tier} is out of order"
        if line.shadow and not requirement_class.waiting:
            yield f"nothing of the class waits, and the shadow still has jobs in line {tier}"
    for tier in sorted(tier for tier, line in requirement_class.lines.items() if len(line) and tier not in pace.lines):
        yield f"line {tier} has jobs that the discipline in force has not met"


def _line(state: State, line: Line, jobs: list[Job]) -> Iterator[str]:
    by_size = line.requirement_class is not state.preparing.requirement_class and state.by_size
    entries = {job.job: entry_of(state, job) if by_size else (job.submitted_ms, job.job) for job in jobs}
    expected = sorted(entries.values())
    if line.entries[line.start :] != expected:
        yield f"line {line.tier} has {len(line)} jobs, or another order, there are {len(expected)}"
    queues = {name: queue.entries[queue.start :] for name, queue in line.tenants.items()}
    if queues != {
        name: sorted(entries[job.job] for job in jobs if job.tenant == name) for name in {j.tenant for j in jobs}
    }:
        yield f"line {line.tier}: the queues of its tenants are not of its jobs"
        return
    if not jobs:
        return
    virtual, shares = line.shares.virtual, line.shares.tenants
    if sharing.turn(line) != min((max(shares[name].tag, virtual), *queue[0]) for name, queue in queues.items())[1:]:
        yield f"line {line.tier}: it is another tenant's turn"
