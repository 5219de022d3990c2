"""Adaptive limits: how many attempts a cluster holds dispatched and not started, by the times recorded there.

By Little's law `slots x fetch / run` attempts are being fetched at any moment in a cluster that is always busy; half as
many again hide the fetching when it is uneven. But what is staged on one node hides nothing on another: a slot that
ends on a node with nothing staged is empty for a whole fetch. If a share p of the nodes has one staged, the cluster
loses (1 - p) x fetch / run of its time; p is chosen for a loss of at most LOSS_PERCENT. Slots that do not run yet come
on top, so that filling them is not held back. What is staged beyond that would only wait in the wrong place, where no
higher tier can overtake it. The policy's limit stays the most.

A new limit is an event. It is due when it differs from the one in force by a quarter, at most every ADAPT_EVERY_MS of
lease time; at once when the limit alone keeps a slot empty (`make_way`). Until both times were seen once, the policy's
limit holds.
"""

from __future__ import annotations

from collections.abc import Iterator

from contract.events import LimitAdapted
from scheduling import backpressure, capacity
from scheduling.state import Attempt, Cluster, State

ADAPT_EVERY_MS = 30_000
"""Of lease time: several heartbeats, and long against the fetching of inputs (seconds)."""
LOSS_PERCENT = 1
"""Time of the slots that may be lost to fetching; less is not worth parking work for."""
SMOOTHING = 8
"""Each new time moves the smoothed one by an eighth of the difference."""


def smoothed(before_ms: int, seen_ms: int) -> int:
    """The smoothed time after one more; both at least 1, and 0 before the first."""
    seen_ms = max(1, seen_ms)
    return seen_ms if before_ms == 0 else max(1, before_ms + (seen_ms - before_ms) // SMOOTHING)


def saw_start(state: State, cluster: Cluster, attempt: Attempt) -> None:
    """The attempt starts now. Part of `evolve`. One that waited behind others says nothing of fetching."""
    if attempt.to_free:
        cluster.fetch_ms = smoothed(cluster.fetch_ms, state.now_ms - attempt.dispatched_ms)


def saw_end(state: State, cluster: Cluster, attempt: Attempt) -> None:
    """The node says that the attempt, which had started, has ended by itself. Part of `evolve`."""
    cluster.run_ms = smoothed(cluster.run_ms, state.now_ms - attempt.started_ms)


def wanted(state: State, cluster: Cluster, most: int) -> int:
    """The limit that the recorded times ask for: 1 to `most`."""
    fetch_ms, run_ms = cluster.fetch_ms, cluster.run_ms
    if not fetch_ms or not run_ms:
        return most
    fetched = -(-3 * cluster.slots * fetch_ms // (2 * run_ms))
    nodes = sum(len(group.ids) for group in state.groups.values() if group.cluster is cluster)
    on_nodes = -(-nodes * (100 * fetch_ms - LOSS_PERCENT * run_ms) // (100 * fetch_ms))
    running = len(cluster.open) - len(cluster.staged)
    return max(1, min(most, max(0, cluster.slots - running) + max(fetched, on_nodes) + 1))


def adapt(state: State) -> Iterator[LimitAdapted]:
    """Limits that are due to change, by cluster."""
    for cluster, most in _adaptive(state):
        since_ms = state.lease_ms - cluster.adapted_lease_ms
        if cluster.adapted_lease_ms >= 0 and since_ms < ADAPT_EVERY_MS:
            continue
        limit = wanted(state, cluster, most)
        if limit != cluster.limit and abs(limit - cluster.limit) * 4 >= cluster.limit:
            yield _adapted(cluster, limit)


def make_way(state: State) -> Iterator[LimitAdapted]:
    """Limits that are reached by attempts which all go to slots that were free, while more are: raised at once, by a
    quarter or more. (Where some wait behind others, these are recalled instead: plan.)"""
    for cluster, most in _adaptive(state):
        if backpressure.in_flight(cluster) >= cluster.limit < most and _is_short(state, cluster):
            raised = max(wanted(state, cluster, most), cluster.limit + (cluster.limit + 3) // 4)
            yield _adapted(cluster, min(most, raised))


def _adaptive(state: State) -> Iterator[tuple[Cluster, int]]:
    for name in sorted(state.clusters):
        cluster = state.clusters[name]
        entry = capacity.entry_of(state, name)
        if entry is not None and entry.adaptive and not cluster.draining:
            yield cluster, entry.limit


def _is_short(state: State, cluster: Cluster) -> bool:
    """A slot is free, and no attempt could be called back for it from behind others."""
    groups = [group for group in state.groups.values() if group.cluster is cluster]
    return any(group.free for group in groups) and not any(group.parked for group in groups)


def _adapted(cluster: Cluster, limit: int) -> LimitAdapted:
    return LimitAdapted(cluster=cluster.name, limit=limit, fetch_ms=cluster.fetch_ms, run_ms=cluster.run_ms)
