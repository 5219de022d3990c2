"""What to do next, once the inputs of a batch are judged.

In this order: deadlines of jobs, leases of nodes, deadlines and recalls of draining clusters, dispatches, and recalls
of attempts that wait behind others while a slot elsewhere stayed free. Recalls come after dispatches: a free slot goes
first to a job that can start at once, and only one that nobody wants calls a staged attempt back.

Like a judgement, a plan is a generator, so that each pick sees the state after the last. It stops between two groups
of events (never between an attempt's closing and what follows) when the batch has `events_max`.

Seams: `lapses_are_due`, `binding`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from contract.events import Event, JobDispatched, KillOrdered, NodeLost, RecallOrdered
from contract.lifecycle import JobState
from contract.names import dispatch_id
from scheduling import backpressure, endings, placement, priority, retries
from scheduling.state import Attempt, Cluster, Group, Job, Kind, Line, Node, State

RECALLS_PER_BATCH_MAX = 32
RECALLS_PER_JOB_MAX = 3
"""A job is moved `elsewhere` at most this often, so that no attempt is passed about for ever."""


def plan(state: State, caught_up: bool, batch: Sequence[Event], events_max: int) -> Iterator[Event]:
    """The events of a batch after its judgements. `batch` is the growing list of its events: evolve each event and
    append it there before asking for the next (a dispatch is named by its place in the record)."""
    groups = (
        _expiries(state),
        _lapses(state) if lapses_are_due(state, caught_up) else iter(()),
        _drains(state),
        _dispatches(state, batch),
        _moves(state),
    )
    for group in groups:
        for events in group:
            if len(batch) >= events_max:
                return
            yield from events


def lapses_are_due(state: State, caught_up: bool) -> bool:
    """Leases lapse only in a batch that has read `jobs` to its end: what was said in time has then been heard (I16)."""
    return caught_up and state.policy is not None


def _expiries(state: State) -> Iterator[Iterator[Event]]:
    while state.deadlines and state.deadlines[0][0] <= state.now_ms:
        yield endings.end(state.jobs[state.deadlines[0][1]], "expired")


def _lapses(state: State) -> Iterator[Iterator[Event]]:
    lease_ms = retries.policy_of(state).node_lease_ms
    heard_ms = state.lease_ms - lease_ms
    for node in sorted(name for name, node in state.nodes.items() if node.heard_lease_ms <= heard_ms):
        yield _lose(state, state.nodes[node])


def _lose(state: State, node: Node) -> Iterator[Event]:
    attempts = state.node_attempts[node.node]
    held = [attempts[job] for job in sorted(attempts)]
    yield NodeLost(node=node.node, session=node.session)
    for attempt in held:
        yield from retries.close(state, attempt, "lost")


def _drains(state: State) -> Iterator[Iterator[Event]]:
    for name in sorted(name for name, cluster in state.clusters.items() if cluster.draining):
        cluster = state.clusters[name]
        over = 0 < cluster.deadline_ms <= state.now_ms
        for job in sorted(cluster.open if over else cluster.staged):
            attempt = cluster.open[job]
            if attempt.stop or state.jobs[job].state is JobState.CANCELLING:
                continue
            yield iter((_stop_for_drain(attempt),))


def _stop_for_drain(attempt: Attempt) -> Event:
    if attempt.started:
        return KillOrdered(job=attempt.job, dispatch=attempt.dispatch, reason="pre_empt")
    return RecallOrdered(job=attempt.job, dispatch=attempt.dispatch, reason="drain")


def _dispatches(state: State, batch: Sequence[Event]) -> Iterator[Iterator[Event]]:
    lines = [line for kind in state.kinds.values() for line in kind.lines.values() if line.heap]
    heads = {line: priority.head_of(state, line) for line in lines}
    full: set[Kind] = set()
    while heads:
        for line in [line for line in heads if line.kind in full or not placement.has_room(line.kind)]:
            full.add(line.kind)
            del heads[line]
        if not heads:
            return
        best = priority.first(heads.values(), priority.goes_before)
        assert best is not None
        line = next(line for line, head in heads.items() if head is best)
        yield iter((_dispatch(state, line, best, heads, len(batch)),))
        if line.heap:
            heads[line] = priority.head_of(state, line)
        else:
            del heads[line]


def _dispatch(
    state: State, line: Line, best: priority.Candidate, heads: dict[Line, priority.Candidate], index: int
) -> Event:
    job = state.jobs[best.job]
    choice = placement.choose(line.kind, job.version)
    assert choice is not None, "the line's class has room"
    group, node = choice
    others = [head for other, head in heads.items() if other is not line and group in other.kind.groups]
    second = priority.second_of(state, line)
    if second is not None:
        others.append(second)
    behind = priority.first(others, priority.goes_before)
    cluster = group.cluster
    return JobDispatched(
        job=job.job,
        attempt=job.attempts + 1,
        dispatch=dispatch_id(state.epoch, state.seq, index),
        node=node,
        session=state.nodes[node].session,
        cluster=cluster.name,
        waited_ms=best.waited_ms,
        slo_ms=best.slo_ms,
        next_job=behind.job if behind is not None else "",
        next_waited_ms=behind.waited_ms if behind is not None else 0,
        next_slo_ms=behind.slo_ms if behind is not None else 0,
        limit=cluster.limit,
        staged=backpressure.in_flight(cluster) + 1,
        bound=binding(state, job, cluster),
    )


def binding(state: State, job: Job, cluster: Cluster) -> str:
    """What held the job until this batch: nothing (it came with it), its backoff (which passed in it), the limit of the
    cluster that takes it now (reached when the batch began), or slots. `version` waits for look-ahead."""
    if job.attempts == 0 and job.offset >= state.position:
        return "nothing"
    if job.eligible_lease_ms > state.last_lease_ms:
        return "backoff"
    return "limit" if cluster.was_full else "slots"


def _moves(state: State) -> Iterator[Iterator[Event]]:
    """Recalls `elsewhere`: attempts that wait behind others on their node, while a slot that fits stayed free in a
    cluster that takes work. Oldest job first; no more than there are free slots, counting recalls still out."""
    free = [group for group in state.groups.values() if group.free and backpressure.takes_work(group.cluster)]
    if not free:
        return
    parked: list[tuple[int, str, Attempt]] = []
    spare = sum(_free_slots(state, group) for group in free)
    for group in state.groups.values():
        for node in placement.nodes_in(group, group.parked):
            attempts = state.node_attempts[node].values()
            spare -= sum(attempt.stop_reason == "elsewhere" for attempt in attempts)
            if sum(attempt.started for attempt in attempts) < state.nodes[node].slots:
                continue
            for attempt in attempts:
                job = state.jobs[attempt.job]
                kind = state.lines[job.version, job.tier].kind
                if _may_move(job, attempt) and any(other in free for other in kind.groups):
                    parked.append((job.submitted_ms, job.job, attempt))
    for _, _, attempt in sorted(parked, key=lambda entry: entry[:2])[: max(0, min(spare, RECALLS_PER_BATCH_MAX))]:
        yield iter((RecallOrdered(job=attempt.job, dispatch=attempt.dispatch, reason="elsewhere"),))


def _free_slots(state: State, group: Group) -> int:
    slots = 0
    for node in islice(placement.nodes_in(group, group.free), RECALLS_PER_BATCH_MAX):
        slots += state.nodes[node].slots - len(state.node_attempts[node])
    return slots


def _may_move(job: Job, attempt: Attempt) -> bool:
    return (
        not attempt.started
        and not attempt.stop
        and job.state is JobState.DISPATCHED
        and job.recalls < RECALLS_PER_JOB_MAX
    )
