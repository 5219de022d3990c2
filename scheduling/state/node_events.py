"""What events about nodes and clusters change (contract.capacity_events). Part of `evolve`."""

from __future__ import annotations

from collections.abc import Callable
from sys import intern
from typing import Any

from contract import events as said
from scheduling.state import access, capacity, cordons
from scheduling.state.jobs import Loss
from scheduling.state.nodes import FormerNode, Node
from scheduling.state.pool import State

LOSSES_KEPT = 256
"""Losses remembered per cluster."""
PAST_NODES_KEPT = 10_000
PAST_SESSIONS_KEPT = 4


def node_admitted(state: State, event: said.NodeAdmitted) -> None:
    old = state.nodes.get(event.node)
    if old is not None:
        _node_gone(state, old)
    node = Node(
        node=intern(event.node),
        session=intern(event.session),
        cluster=intern(event.cluster),
        chipset=intern(event.chipset),
        slots=event.slots,
        gpus=event.gpus,
        memory_mib=event.memory_mib,
        heard_lease_ms=state.lease_ms,
        cached=event.cached,
        address=access.address_of(state, event.address),
        said_address=event.address,
        holds=capacity.holds_of(event.slots, event.holds),
        identity=event.identity,
        usable=event.slots,
        layers_missing=event.layers_missing,
        kind=intern(event.kind),
    )
    capacity.admit(state, node)


def node_heard(state: State, event: said.NodeHeard) -> None:
    node = state.nodes[event.node]
    node.heard_lease_ms = state.lease_ms
    if event.unlisted or node.unlisted:
        now = (0, state.lease_ms)
        before = {dispatch: node.unlisted.get(dispatch, now) for dispatch in event.unlisted}
        node.unlisted = {dispatch: (times + 1, since_ms) for dispatch, (times, since_ms) in before.items()}
    if event.missing or node.missed:
        node.missed = {dispatch: node.missed.get(dispatch, 0) + 1 for dispatch in event.missing}


def node_versions_changed(state: State, event: said.NodeVersionsChanged) -> None:
    capacity.change_versions(state, state.nodes[event.node], event.loaded, event.cached)


def node_slots_changed(state: State, event: said.NodeSlotsChanged) -> None:
    node = state.nodes[event.node]
    node.holding = intern(event.holding)
    capacity.change_slots(state, node, event.usable)


def node_drained(state: State, event: said.NodeDrained) -> None:
    node = state.nodes[event.node]
    node.draining = True
    node.drained_for = intern(event.reason)
    capacity.refresh(state, node)


def node_cordoned(state: State, event: said.NodeCordoned) -> None:
    cordons.cordon(state, intern(event.node), intern(event.cluster), intern(event.reason), event.jobs)


def node_uncordoned(state: State, event: said.NodeUncordoned) -> None:
    cordons.uncordon(state, event.node)


def node_departed(state: State, event: said.NodeDeparted) -> None:
    _node_gone(state, state.nodes[event.node])


def node_lost(state: State, event: said.NodeLost) -> None:
    node = state.nodes[event.node]
    losses = state.losses.get(node.cluster, ())
    state.losses[node.cluster] = (*losses, Loss(node.node, node.cluster, state.lease_ms))[-LOSSES_KEPT:]
    _node_gone(state, node)


def _node_gone(state: State, node: Node) -> None:
    capacity.remove(state, node)
    past = state.past.pop(node.node, None)
    sessions = (*(past.sessions if past is not None else ()), node.session)[-PAST_SESSIONS_KEPT:]
    state.past[node.node] = FormerNode(node.cluster, sessions, node.identity)
    if len(state.past) > PAST_NODES_KEPT:
        del state.past[next(iter(state.past))]


def cluster_draining(state: State, event: said.ClusterDraining) -> None:
    cluster = capacity.cluster_of(state, event.cluster)
    cluster.draining = True
    cluster.deadline_ms = event.deadline_ms


def cluster_returned(state: State, event: said.ClusterReturned) -> None:
    cluster = capacity.cluster_of(state, event.cluster)
    cluster.draining = False
    cluster.deadline_ms = 0


def limit_adapted(state: State, event: said.LimitAdapted) -> None:
    cluster = state.clusters[event.cluster]
    cluster.limit = event.limit
    cluster.behind = event.behind
    cluster.adapted_lease_ms = state.lease_ms


CHANGES: dict[type, Callable[[State, Any], None]] = {
    said.LimitAdapted: limit_adapted,
    said.NodeAdmitted: node_admitted,
    said.NodeHeard: node_heard,
    said.NodeVersionsChanged: node_versions_changed,
    said.NodeSlotsChanged: node_slots_changed,
    said.NodeDrained: node_drained,
    said.NodeCordoned: node_cordoned,
    said.NodeUncordoned: node_uncordoned,
    said.NodeDeparted: node_departed,
    said.NodeLost: node_lost,
    said.ClusterDraining: cluster_draining,
    said.ClusterReturned: cluster_returned,
}
