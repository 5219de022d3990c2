"""What to do next, once the inputs of a batch are judged.

In this order: deadlines of jobs, leases of nodes, nodes that are revoked or not confined, deadlines and recalls of
draining clusters, cordons, withdrawn versions, the reversal of a policy, slots kept for gangs that are kept no longer,
adaptive limits, dispatches, limits that alone keep a slot empty (and what can go then), recalls of attempts that wait
behind others while a slot elsewhere stayed free, preparations, and new forecasts for jobs whose own has passed. Recalls
come after dispatches: a free slot goes first to a job that can start at once, and only one that nobody wants calls a
staged attempt back.

Like a judgement, a plan is a generator: each pick sees the state after the last one. When the batch is full, the plan
stops between two groups of events, never between the closing of an attempt and what follows from it.

While the pool is on hold nothing is dispatched, what is staged is called back, and no preparation begins; those that
are open go on.

Seams: `lapses_are_due`, `may_cordon`, `starts_jobs`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from contract.events import (
    Event,
    GangReserved,
    JobDispatched,
    KillOrdered,
    Member,
    NodeCordoned,
    NodeDeparted,
    NodeDrained,
    NodeLost,
    NodeUncordoned,
    RecallOrdered,
)
from contract.lifecycle import JobState
from contract.names import dispatch_id
from scheduling import disciplines, forecast, policy_trial
from scheduling.attempts import endings, reports, retries, withdrawals
from scheduling.picking import gangs, limits, look_ahead, moves, placement, preparations, ranking, reservations
from scheduling.state import access, backpressure, capacity, cordons, sharing
from scheduling.state.jobs import Job
from scheduling.state.nodes import FAILURES, NOT_CONFINED, Attempt, ClusterState, Group, Node, Suspect
from scheduling.state.pool import RequirementClass, State


def plan(state: State, caught_up: bool, batch: Sequence[Event], is_full: Callable[[], bool]) -> Iterator[Event]:
    """The events of a batch after its judgements. Only `decide` calls this.

    `batch` is the growing list of the record's events: a dispatch is named by its place in it. Once `is_full` answers
    true, nothing more is begun."""
    groups = (
        _expiries(state),
        _lapses(state) if lapses_are_due(state, caught_up) else iter(()),
        (_put_out(state, node) for node in access.revoked_nodes(state)),
        (_drain_unconfined(state, node) for node in access.unconfined_nodes(state)),
        _drains(state),
        _cordons(state),
        withdrawals.due(state),
        _hold(state) if state.held else iter(()),
    )
    for group in groups:
        for events in group:
            if is_full():
                return
            yield from events
    singles = (
        policy_trial.revert(state),
        reservations.releases(state),
        limits.adapt(state),
        *((_dispatches(state, batch), _make_way(state, batch), moves.recalls(state)) if starts_jobs(state) else ()),
        preparations.ordered(state, batch),
        forecast.renewals(state),
    )
    for single in singles:
        for event in single:
            if is_full():
                return
            yield event


def starts_jobs(state: State) -> bool:
    """Jobs may be dispatched: nobody holds the pool."""
    return not state.held


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
        yield from retries.close(state, attempt, "lost", node.node)


def _put_out(state: State, node: Node) -> Iterator[Event]:
    """The node's signature is revoked: what it holds goes elsewhere, whatever it does. Its next heartbeat is answered
    by a Rejoin, at which an agent of ours stops everything, and the join by a Refuse."""
    yield from reports.close_all(state, node, "revoked")
    yield NodeDeparted(node=node.node, session=node.session)


def _drain_unconfined(state: State, node: Node) -> Iterator[Event]:
    """The policy trusts models no longer, and the node lacks layers: nothing new begins there. What runs there was
    trusted when it began, and may finish. Then the node is told to join anew, and is admitted if all layers hold."""
    yield NodeDrained(node=node.node, session=node.session, reason=NOT_CONFINED)
    yield from _recall_staged(state, node, NOT_CONFINED)


def _drains(state: State) -> Iterator[Iterator[Event]]:
    for name in sorted(name for name, cluster in state.clusters.items() if cluster.draining):
        cluster = state.clusters[name]
        over = 0 < cluster.deadline_ms <= state.now_ms
        for job in sorted(cluster.open if over else cluster.staged):
            attempt = cluster.open[job]
            if attempt.prepares:
                if over:
                    yield retries.close(state, attempt, "pre_empted", attempt.node)
                continue
            if attempt.stop or state.jobs[job].state is JobState.CANCELLING:
                continue
            yield iter((_stop_for_drain(attempt),))


def _cordons(state: State) -> Iterator[Iterator[Event]]:
    """Nodes that jobs accuse, as many as may be cordoned; and cordoned nodes without which a gang fits nowhere."""
    for name in sorted(state.suspects):
        suspect, node = state.suspects[name], state.nodes.get(name)
        is_due = not suspect.cordoned and len(suspect.jobs) >= cordons.ACCUSERS
        if is_due and node is not None and may_cordon(state, node.cluster):
            yield _cordon(state, node, suspect)
    for name in gangs.needed(state):
        yield iter((NodeUncordoned(node=name, reason="needed"),))


def may_cordon(state: State, cluster: str) -> bool:
    """One more node of the cluster may be cordoned: at most a quarter of its nodes are at a time, but always one."""
    nodes = [name for name, node in state.nodes.items() if node.cluster == cluster]
    return sum(capacity.is_cordoned(state, name) for name in nodes) < max(1, len(nodes) // 4)


def _cordon(state: State, node: Node, suspect: Suspect) -> Iterator[Event]:
    """What is staged there goes elsewhere; what runs there may finish."""
    yield NodeCordoned(node=node.node, cluster=node.cluster, reason=FAILURES, jobs=suspect.jobs)
    yield from _recall_staged(state, node, "cordon")


def _recall_staged(state: State, node: Node, reason: str) -> Iterator[Event]:
    attempts = state.node_attempts[node.node]
    for job in sorted(attempts):
        attempt = attempts[job]
        is_staged = not attempt.started and not attempt.prepares
        if is_staged and not attempt.stop and state.jobs[job].state is not JobState.CANCELLING:
            yield RecallOrdered(job=job, dispatch=attempt.dispatch, reason=reason)


def _hold(state: State) -> Iterator[Iterator[Event]]:
    """The pool is on hold: what is staged comes back, so nothing starts."""
    for name in sorted(state.clusters):
        cluster = state.clusters[name]
        for job in sorted(cluster.staged):
            attempt = cluster.staged[job]
            if not attempt.prepares and not attempt.stop and state.jobs[job].state is not JobState.CANCELLING:
                yield iter((RecallOrdered(job=job, dispatch=attempt.dispatch, reason="held"),))


def _stop_for_drain(attempt: Attempt) -> Event:
    if attempt.started:
        return KillOrdered(job=attempt.job, dispatch=attempt.dispatch, reason="pre_empt")
    return RecallOrdered(job=attempt.job, dispatch=attempt.dispatch, reason="drain")


def _dispatches(state: State, batch: Sequence[Event]) -> Iterator[Event]:
    """The job that the discipline in force puts first goes, again and again.

    Within a batch free room never grows. So a class without room is dropped until the next batch, and rooms are looked
    at again only after a dispatch filled a group, took its cluster's last place behind others, or while a gang
    waits."""
    for job, chosen in gangs.ready(state):
        yield _dispatch(state, job, KEPT, chosen.group.cluster, chosen.nodes, len(batch))
    rooms = _rooms(state, state.classes.values())
    gang = any(map(gangs.is_gang, rooms))
    order = disciplines.of(state).order(state, rooms)
    while (choice := order.first()) is not None:
        line, reason = choice
        turn = sharing.turn(line)
        if gang and gangs.is_gang(line.requirement_class):
            served, job = line, state.jobs[turn[1]]
            place = _for_gang(state, line.requirement_class, job)
            if isinstance(place, GangReserved):
                yield place
                rooms = _rooms(state, rooms)
                order = disciplines.of(state).order(state, rooms)
                continue
            group, nodes = place
        else:
            served, job_id = look_ahead.instead(state, order, choice, turn, rooms[line.requirement_class]) or (
                line,
                turn[1],
            )
            job = state.jobs[job_id]
            group, node = placement.choose(state, rooms[line.requirement_class], job)
            if state.reserved and not group.free and job.job == turn[1]:
                group, node = reservations.back_fill(state, line.requirement_class, job) or (group, node)
            nodes = (node,)
        passed = turn[1] if job.job != turn[1] else ""
        evidence = Evidence(reason, passed, behind=passed or ranking.behind(order, line, turn, group))
        line_ups = state.line_ups
        yield _dispatch(state, job, evidence, group.cluster, nodes, len(batch))
        if gang or backpressure.took_last_behind(group.cluster) or not placement.has_room(group):
            rooms = _rooms(state, rooms)
            gang = gang and any(map(gangs.is_gang, rooms))
        if state.line_ups == line_ups:
            order.dispatched(served, rooms)
        else:  # other jobs left their lines or came back
            order = disciplines.of(state).order(state, rooms)
    if state.reserved:
        yield from _back_fills(state, batch)


def _for_gang(
    state: State, requirement_class: RequirementClass, gang: Job
) -> tuple[Group, tuple[str, ...]] | GangReserved:
    """Where the gang goes whose turn it is, or the slots to keep for it: away from nodes that it avoids, if it can.
    ValueError when neither can be: it was not the gang's turn."""
    avoided = gangs.avoided(gang)
    for banned in (avoided, ()) if avoided else ((),):
        place = gangs.choose(state, requirement_class, gang.version, banned=banned)
        kept = reservations.keep(state, requirement_class, gang, banned) if place is None else None
        if found := place or kept:
            return found
    raise ValueError(f"expected a cluster that can keep {requirement_class.requirements.ranks} slots, found none")


def _back_fills(state: State, batch: Sequence[Event]) -> Iterator[Event]:
    """Slots that are kept for gangs and free meanwhile, once no other slot is free: the job that the discipline puts
    first goes there if it is expected to end in time. At each pick a class whose first job is not expected to is left
    out."""
    while (event := _back_fill(state, len(batch))) is not None:
        yield event


def _back_fill(state: State, index: int) -> Event | None:
    rooms = [
        requirement_class
        for requirement_class in state.classes.values()
        if not gangs.is_gang(requirement_class) and reservations.with_kept_room(requirement_class)
    ]
    while rooms:
        order = disciplines.of(state).order(state, rooms)
        choice = order.first()
        if choice is None:
            return None
        line, reason = choice
        turn = sharing.turn(line)
        job = state.jobs[turn[1]]
        spot = reservations.back_fill(state, line.requirement_class, job)
        if spot is None:
            rooms.remove(line.requirement_class)
            continue
        group, node = spot
        evidence = Evidence(reason, "", behind=ranking.behind(order, line, turn, group))
        return _dispatch(state, job, evidence, group.cluster, (node,), index)
    return None


def _rooms(state: State, classes: Iterable[RequirementClass]) -> dict[RequirementClass, list[Group]]:
    """Of these classes, those with waiting jobs and room now; and the groups that have the room."""
    rooms = {}
    for requirement_class in classes:
        if not requirement_class.waiting:
            continue
        if not gangs.is_gang(requirement_class):
            groups = placement.groups_with_room(requirement_class)
        else:
            groups = gangs.on_offer(state, requirement_class)
        if groups:
            rooms[requirement_class] = groups
    return rooms


def _make_way(state: State, batch: Sequence[Event]) -> Iterator[Event]:
    """Raise adaptive limits that alone keep a slot empty, and dispatch to these slots."""
    raised = list(limits.make_way(state))
    if raised:
        yield from raised
        yield from _dispatches(state, batch)


class Evidence(msgspec.Struct, frozen=True):
    """Why this job was chosen, as its dispatch records it."""

    reason: str
    passed: str
    behind: str
    """The best job that could have gone in place of the chosen one; empty: none."""


KEPT = Evidence("reserved", "", "")
"""For a gang with kept slots: the discipline chose the gang when the slots were kept."""


def _dispatch(
    state: State, job: Job, evidence: Evidence, cluster: ClusterState, nodes: tuple[str, ...], index: int
) -> Event:
    """`nodes`: the node of each rank. `index`: the event's place in the record."""
    node, *others = nodes
    behind = state.jobs[evidence.behind] if evidence.behind else None
    return JobDispatched(
        job=job.job,
        attempt=job.attempts + 1,
        dispatch=dispatch_id(state.epoch, state.seq, index),
        node=node,
        session=state.nodes[node].session,
        cluster=cluster.name,
        waited_ms=state.now_ms - job.submitted_ms,
        slo_ms=state.slos[job.tier],
        next_job=evidence.behind,
        next_waited_ms=state.now_ms - behind.submitted_ms if behind is not None else 0,
        next_slo_ms=state.slos[behind.tier] if behind is not None else 0,
        limit=cluster.limit,
        staged=backpressure.in_flight(cluster) + 1,
        bound=binding(state, job, cluster),
        reason=evidence.reason,
        passed=evidence.passed,
        members=tuple(Member(name, state.nodes[name].session) for name in others),
        rendezvous=gangs.rendezvous(state, nodes, index),
    )


def binding(state: State, job: Job, cluster: ClusterState) -> str:
    """What held the job until this batch: nothing (it came with it), its inputs (which were prepared now), its backoff
    (which passed in it), the limit of the cluster that takes it now (reached when the batch began), or slots. `version`
    waits for look-ahead."""
    if job.attempts == 0 and job.offset >= state.position:
        return "nothing"
    if job.prepared and job.lined_ms == state.now_ms:
        return "inputs"
    if job.eligible_lease_ms > state.last_lease_ms:
        return "backoff"
    return "limit" if cluster.was_full else "slots"
