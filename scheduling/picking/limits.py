"""Limits by recorded times: how many attempts a cluster holds staged behind running ones, and, where it is adaptive,
dispatched and not started at all.

A job that is staged behind another waits for that one slot, while the next slot that becomes free, whichever it is,
goes to the job that then matters most. So nothing is staged where fetching costs up to WORTH_PERCENT of the run time
(docs/decisions/0009 has the measurements), and elsewhere just enough. By Little's law `slots x fetch / run` attempts
are being fetched at any moment in a cluster that is always busy; half as many again hide the fetching when it is
uneven. But what is staged on one node hides nothing on another: a slot that ends on a node with nothing staged is empty
for a whole fetch. If a share p of the nodes has one staged, the cluster loses (1 - p) x fetch / run of its time; p is
chosen for a loss of at most LOSS_PERCENT. The last place of a limit is always kept for a slot that becomes free.

An adaptive cluster's limit is that number, and the slots that do not run yet, so that filling them is not held back,
and one; the policy's limit stays the most. Any other limit stays as the policy says.

New limits are an event. It is due when one differs from that in force by a quarter, at most every ADAPT_EVERY_MS of
lease time; at once when an adaptive limit alone keeps a slot empty (`make_way`). Until both times were seen once, the
policy's limit holds.

Seam: `hiding`.
"""

from __future__ import annotations

from collections.abc import Iterator

from contract.events import LimitAdapted
from contract.policy import UNLIMITED
from contract.policy import Cluster as ClusterPolicy
from scheduling.state import backpressure, capacity
from scheduling.state.nodes import Attempt, ClusterState
from scheduling.state.pool import State

ADAPT_EVERY_MS = 30_000
"""Of lease time: several heartbeats, and long against the fetching of inputs (seconds)."""
WORTH_PERCENT = 5
"""Of the run time: fetching that takes no longer is not hidden."""
LOSS_PERCENT = 1
"""Time of the slots that may be lost to fetching where it is hidden."""
SMOOTHING = 8
"""Each new time moves the smoothed one by an eighth of the difference."""


def smoothed(before_ms: int, seen_ms: int) -> int:
    """The smoothed time after one more; both at least 1, and 0 before the first."""
    seen_ms = max(1, seen_ms)
    return seen_ms if before_ms == 0 else max(1, before_ms + (seen_ms - before_ms) // SMOOTHING)


def saw_start(state: State, cluster: ClusterState, attempt: Attempt) -> None:
    """The attempt starts now. Part of `evolve`. One that waited behind others says nothing of fetching."""
    if attempt.to_free:
        cluster.fetch_ms = smoothed(cluster.fetch_ms, state.now_ms - attempt.dispatched_ms)


def saw_end(state: State, cluster: ClusterState, attempt: Attempt) -> None:
    """The node says that the attempt, which had started, has ended by itself. Part of `evolve`."""
    cluster.run_ms = smoothed(cluster.run_ms, state.now_ms - attempt.started_ms)


def hiding(state: State, cluster: ClusterState) -> int:
    """How many attempts staged behind running ones hide the fetching of inputs, by the recorded times (of which both
    are known); 0 where it costs less than parking work would."""
    fetch_ms, run_ms = cluster.fetch_ms, cluster.run_ms
    if 100 * fetch_ms <= WORTH_PERCENT * run_ms:
        return 0
    fetched = -(-3 * cluster.slots * fetch_ms // (2 * run_ms))
    nodes = sum(len(group.ids) for group in state.groups.values() if group.cluster is cluster)
    on_nodes = -(-nodes * (100 * fetch_ms - LOSS_PERCENT * run_ms) // (100 * fetch_ms))
    return max(fetched, on_nodes)


def wanted(cluster: ClusterState, entry: ClusterPolicy, hides: int) -> int:
    """The limit that the recorded times ask for: 1 to the policy's; the policy's itself where it is not adaptive. What
    is in flight already leaves a place, so that a lower limit keeps no slot empty either."""
    if not entry.adaptive:
        return entry.limit
    in_flight = backpressure.in_flight(cluster)
    running = len(cluster.open) - in_flight
    return max(1, min(entry.limit, 1 + max(in_flight, hides + max(0, cluster.slots - running))))


def adapt(state: State) -> Iterator[LimitAdapted]:
    """Limits that are due to change, by cluster."""
    before_ms = state.lease_ms - ADAPT_EVERY_MS
    may_change = [c for c in state.clusters.values() if c.adapted_lease_ms < 0 or c.adapted_lease_ms <= before_ms]
    for cluster, entry in _by_times(state, may_change):
        hides = hiding(state, cluster)
        limit = wanted(cluster, entry, hides)
        if _is_due(limit, cluster.limit) or _is_due(min(hides, limit - 1), cluster.behind):
            yield _adapted(cluster, limit, hides)


def _is_due(new: int, old: int) -> bool:
    return new != old and abs(new - old) * 4 >= old


def make_way(state: State) -> Iterator[LimitAdapted]:
    """Adaptive limits that are reached while a slot is free: raised at once, by a quarter or more."""
    reached = [cluster for cluster in state.clusters.values() if backpressure.in_flight(cluster) >= cluster.limit]
    for cluster, entry in _by_times(state, reached):
        most = entry.limit if entry.adaptive else 0
        if cluster.limit < most and _has_free_slot(state, cluster):
            hides = hiding(state, cluster)
            raised = max(wanted(cluster, entry, hides), cluster.limit + (cluster.limit + 3) // 4)
            yield _adapted(cluster, min(most, raised), hides)


def _by_times(state: State, clusters: list[ClusterState]) -> Iterator[tuple[ClusterState, ClusterPolicy]]:
    """Those, by name, whose limits the recorded times may change: both are known, and `none` asks for no limit."""
    for cluster in sorted(clusters, key=lambda cluster: cluster.name):
        if cluster.draining or not cluster.fetch_ms or not cluster.run_ms:
            continue
        entry = capacity.policy_of_cluster(state, cluster.name)
        if entry is not None and (entry.adaptive or entry.limit < UNLIMITED):
            yield cluster, entry


def _has_free_slot(state: State, cluster: ClusterState) -> bool:
    return any(group.free for group in state.groups.values() if group.cluster is cluster)


def _adapted(cluster: ClusterState, limit: int, hides: int) -> LimitAdapted:
    behind = min(hides, limit - 1)
    return LimitAdapted(cluster.name, limit, cluster.fetch_ms, cluster.run_ms, behind)
