"""Which orders nodes are owed. What a node should do follows from the state alone, so any order can be made again.

`orders_for` gives the orders of one batch: what its events order, and what answers a heartbeat that contradicts the
state. `standing_orders` gives every order whose effect is not yet seen; a newcomer sends these at takeover. A node
carries out an order once however often it comes, so an order too many costs a record, and an order too few costs a job.

The nodes of a draining cluster get no Drain: the cluster gets no new work, its staged attempts are recalled, and its
nodes stay ready for when the cluster is active again. A Drain is for a node that handed work back as drained and now
claims to take work, or that is drained because layers are missing there: a node that has drained takes work again only
with a new session. A node that was drained for a reason of ours finishes what it runs; then it is told to rejoin, which
it does as soon as it hears.

A revoked node gets no Run, not even one of old that it should have: it gets no more words.

Tell and Refuse go only to nodes that give an identity: an agent of v0.1.0 does not know them.

Seams: `repeats`, `kills_unknown`.
"""

from __future__ import annotations

from collections.abc import Sequence

from contract.events import Event, JobDispatched, KillOrdered, NodeRefused, PreparationOrdered, RecallOrdered
from contract.inputs import Input, NodeHeartbeat, NodeJoined, NodeLeft, cached_digest
from contract.lifecycle import JobState
from contract.names import dispatch_order
from contract.orders import Drain, Kill, Order, Prepare, PreparedInputs, Recall, Refuse, Rejoin, Run, Tell
from scheduling.attempts import retries
from scheduling.state import access
from scheduling.state.gang_members import NodeShare, node_shares
from scheduling.state.jobs import Job
from scheduling.state.nodes import DEAF, Attempt
from scheduling.state.pool import State

REPEAT_AFTER_MS = 5_000
"""An order is sent again when a heartbeat contradicts it this long after the order was due: the time between two
heartbeats, within which the order should have arrived."""

Due = dict[tuple[str, str, str], Order]
"""Orders in the sequence in which they are sent, by kind, dispatch and node, so that no batch sends one twice."""


def orders_for(state: State, inputs: Sequence[Input], events: Sequence[Event]) -> list[Order]:
    """The orders of the batch with these inputs and events, in the sequence in which they must be sent. `state` has
    been evolved by the batch. The host fills in payloads and trace."""
    due: Due = {}
    closed: set[str] = set()
    for attempt, closer in state.closed_gangs:
        _release(due, state, attempt, closer)
    for attempt in state.stopped_preparations:
        _stop_preparation(due, state, attempt)
    for event in events:
        if isinstance(event, JobDispatched):
            _add(due, state, event, "run")
        elif isinstance(event, PreparationOrdered):
            _add(due, state, event, "prepare")
        elif isinstance(event, RecallOrdered):
            _add(due, state, event, "recall")
        elif isinstance(event, KillOrdered):
            _add(due, state, event, "kill")
        elif isinstance(event, NodeRefused):
            _refuse(due, state, event, inputs)
        elif (dispatch := getattr(event, "dispatch", None) or getattr(event, "preparation", None)) is not None:
            closed.add(dispatch)
    for heartbeat in _last_heartbeats(state, inputs):
        _answer(due, state, heartbeat, closed)
    return list(due.values())


def standing_orders(state: State) -> list[Order]:
    """Every order whose effect is not yet seen, by dispatch."""
    due: Due = {}
    jobs = [(dispatch_order(job.open.dispatch), job) for job in state.jobs.values() if job.open is not None]
    for _, job in sorted(jobs, key=lambda entry: entry[0]):
        attempt = job.open
        if attempt is not None:
            for share in node_shares(attempt):
                if kind := _owed(state, job, attempt, share.node):
                    due[kind, attempt.dispatch, share.node] = _order(state, job, attempt, share, kind)
    return list(due.values())


def clusters_for(state: State, order: Order) -> tuple[str, ...]:
    """The clusters to whose dispatch topics the order goes: the node's cluster, or the one where the session last was.
    An earlier session may have been a namesake's in another cluster, so what is for it goes to every cluster of the
    pool, as does a Rejoin or a Refuse, which alone can be for a session that was never admitted. A node
    that is refused because its cluster is none of this pool's reads the orders of another pool's cluster: a Refuse that
    says so goes to every cluster of the policy, each of which has its topic."""
    node = state.nodes.get(order.node)
    if node is not None and node.session == order.session:
        return (node.cluster,)
    past = state.past.get(order.node)
    if past is not None and order.session == past.sessions[-1]:
        return (past.cluster,)
    is_astray = isinstance(order, Refuse) and order.reason == "unknown_cluster"
    others = state.policy.clusters if is_astray and state.policy is not None else ()
    return tuple(sorted({*state.clusters, *others}))


def _refuse(due: Due, state: State, event: NodeRefused, inputs: Sequence[Input]) -> None:
    bodies = (record.body for record in inputs)
    joins = (b for b in bodies if isinstance(b, NodeJoined) and (b.node, b.session) == (event.node, event.session))
    if any(join.identity for join in joins):
        due["refuse", event.session, event.node] = Refuse(
            event.node, event.session, state.pool, state.epoch, event.reason
        )


def _add(
    due: Due, state: State, event: JobDispatched | PreparationOrdered | RecallOrdered | KillOrdered, kind: str
) -> None:
    dispatch = event.preparation if isinstance(event, PreparationOrdered) else event.dispatch
    job = state.jobs.get(event.job)
    if job is not None and job.open is not None and job.open.dispatch == dispatch:
        for share in node_shares(job.open):
            due[kind, dispatch, share.node] = _order(state, job, job.open, share, kind)


def _stop_preparation(due: Due, state: State, attempt: Attempt) -> None:
    """A worker prepares what nobody needs any more."""
    node = state.nodes.get(attempt.node)
    if node is not None and node.session == attempt.session:
        order = Kill(attempt.node, attempt.session, state.pool, state.epoch, attempt.job, attempt.dispatch)
        due["kill", attempt.dispatch, attempt.node] = order


def _release(due: Due, state: State, attempt: Attempt, closer: str) -> None:
    """A gang is over, because one of its nodes said so or was lost: the other nodes stop their ranks."""
    for share in node_shares(attempt):
        node = state.nodes.get(share.node)
        if node is not None and node.session == share.session and share.node != closer:
            order = Kill(share.node, share.session, state.pool, state.epoch, attempt.job, attempt.dispatch)
            due["kill", attempt.dispatch, share.node] = order


def _last_heartbeats(state: State, inputs: Sequence[Input]) -> list[NodeHeartbeat]:
    """The last heartbeat of each node that did not leave after it. A node of another cluster with the same name hides
    none of them; it is answered as to its own session."""
    last: dict[tuple[str, bool], NodeHeartbeat] = {}
    for record in inputs:
        body = record.body
        if not isinstance(body, NodeHeartbeat | NodeLeft):
            continue
        node = state.nodes.get(body.node)
        is_own = node is None or node.is_spoken_for_by(record.signer)
        if node is not None and node.session == body.session and not is_own:
            continue
        if isinstance(body, NodeHeartbeat):
            last[body.node, is_own] = body
        else:
            last.pop((body.node, is_own), None)
    return list(last.values())


def _answer(due: Due, state: State, heartbeat: NodeHeartbeat, closed: set[str]) -> None:
    """Orders for whatever in the heartbeat contradicts the state. `closed`: dispatches that this very batch closed or
    started, of which the node could not know."""
    node = state.nodes.get(heartbeat.node)
    if node is None or node.session != heartbeat.session:
        rejoin = Rejoin(heartbeat.node, heartbeat.session, state.pool, state.epoch)
        due["rejoin", heartbeat.session, heartbeat.node] = rejoin
        return
    attempts = state.node_attempts[node.node]
    listed = (*heartbeat.running, *heartbeat.staged)
    known = {attempt.dispatch for attempt in attempts.values()}
    for dispatch in listed:
        if kills_unknown(dispatch, known) and dispatch not in closed:
            order = Kill(node.node, node.session, state.pool, state.epoch, job="", dispatch=dispatch)
            due.setdefault(("kill", dispatch, node.node), order)
    for job_id in sorted(attempts):
        attempt = attempts[job_id]
        job = state.jobs[job_id]
        kind = _owed(state, job, attempt, node.node)
        if kind in ("run", "prepare") and attempt.dispatch in listed:
            continue
        if kind and repeats(state, attempt):
            share = next(share for share in node_shares(attempt) if share.node == node.node)
            due.setdefault((kind, attempt.dispatch, node.node), _order(state, job, attempt, share, kind))
    digest = heartbeat.cached_digest
    if digest and node.identity and tells_otherwise(digest, node.cached):
        due["tell", "", node.node] = Tell(node.node, node.session, state.pool, state.epoch)
    if node.drained_for and not attempts:
        due["rejoin", "", node.node] = Rejoin(node.node, node.session, state.pool, state.epoch)
    elif node.draining and node.drained_for != DEAF and not heartbeat.draining:
        due["drain", "", node.node] = Drain(node.node, node.session, state.pool, state.epoch)


def tells_otherwise(digest: str, cached: tuple[str, ...]) -> bool:
    """The node's cached versions are not those that the scheduler knows, so the node is asked for the list."""
    return digest != cached_digest(cached)


def kills_unknown(dispatch: str, known: set[str]) -> bool:
    """The node holds an attempt that is not open, so the node is told to kill that attempt."""
    return dispatch not in known


def repeats(state: State, attempt: Attempt) -> bool:
    """The node should have carried out the order by now, so the order is sent again."""
    return state.now_ms - max(attempt.dispatched_ms, attempt.stop_ms) >= REPEAT_AFTER_MS


def _owed(state: State, job: Job, attempt: Attempt, node: str) -> str:
    """The order whose effect is not yet seen: run, prepare, recall, kill, or empty. The attempt of a cancelled job is
    killed, staged or not: nobody knows by then whether the attempt started. A gang that has started proves only that
    the node of rank 0 has its order."""
    if attempt.stop:
        return "kill" if job.state is JobState.CANCELLING else attempt.stop
    is_over = (attempt.started and node == attempt.node) or access.is_put_out(state, state.nodes[node])
    if is_over:
        return ""
    return "prepare" if attempt.prepares else "run"


def _order(state: State, job: Job, attempt: Attempt, share: NodeShare, kind: str) -> Order:
    if kind == "kill":
        return Kill(share.node, share.session, state.pool, state.epoch, job.job, attempt.dispatch)
    if kind == "recall":
        return Recall(share.node, share.session, state.pool, state.epoch, job.job, attempt.dispatch)
    policy = retries.policy_of(state)
    if kind == "prepare":
        return Prepare(
            node=share.node,
            session=share.session,
            pool=state.pool,
            epoch=state.epoch,
            job=job.job,
            preparation=attempt.dispatch,
            model=job.model,
            version=job.version,
            timeout_ms=policy.prepare_timeout_ms,
            partition=state.partition,
            offset=job.offset,
            digest=job.digest,
            tenant=job.tenant,
            keep_sources=policy.keep_sources,
        )
    return Run(
        node=share.node,
        session=share.session,
        pool=state.pool,
        epoch=state.epoch,
        job=job.job,
        attempt=attempt.attempt,
        dispatch=attempt.dispatch,
        model=job.model,
        version=job.version,
        timeout_ms=state.versions[job.version].timeout_ms,
        partition=state.partition,
        offset=job.offset,
        digest=job.digest,
        ranks=share.ranks,
        world=1 + len(attempt.members),
        rendezvous=attempt.rendezvous,
        tenant=job.tenant,
        isolation=policy.isolation,
        network=job.model in policy.networks or bool(attempt.rendezvous),
        wheels_from_index=policy.wheels_from_index,
        prepared=PreparedInputs(job.prepared, job.manifest, job.prepared_bytes) if job.prepared else None,
        visible_mark=policy.visible_mark,
    )
