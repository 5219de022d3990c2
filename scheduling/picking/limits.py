"""Limits by recorded times: how many attempts a cluster holds staged behind running ones, and how many an adaptive
cluster holds dispatched and not started.

A job that is staged behind another job waits for that one slot. The next slot that becomes free, whichever that is,
goes to the job that then matters most. So nothing is staged where fetching costs up to WORTH_PERCENT of the run time
(docs/decisions/0009 has the measurements), and elsewhere just enough is staged. By Little's law `slots x fetch / run`
attempts are being fetched at any moment in a cluster that is always busy; half as many again hide the fetching when
arrivals are uneven. But an attempt staged on one node hides nothing on another node: a slot that ends on a node with
nothing staged is empty for a whole fetch. If a share p of the nodes has an attempt staged, the cluster loses
(1 - p) x fetch / run of its time; p is chosen for a loss of at most LOSS_PERCENT. The last place of a limit is always
kept for a slot that becomes free.

An adaptive cluster's limit is the number so found, plus the slots that do not run yet (filling them is never held
back), plus one, and at most the policy's limit. Any other cluster's limit is the policy's.

New limits are an event. The event is due when a limit differs by a quarter from the one in force, at most every
ADAPT_EVERY_MS of lease time; it is due at once when an adaptive limit alone keeps a slot empty (`make_way`). Until both
times were seen once, the policy's limit holds.

Seam: `hiding`.
"""

from __future__ import annotations

from collections.abc import Iterator

from contract.events import LimitAdapted
from contract.policy import UNLIMITED
from contract.policy import Cluster as ClusterPolicy
from scheduling.state import backpressure, capacity
from scheduling.state.capacity import RUN
from scheduling.state.nodes import Attempt, ClusterState
from scheduling.state.pool import State

ADAPT_EVERY_MS = 30_000
"""Lease time between two changes of a limit: several heartbeats, and long against fetching inputs (seconds)."""
WORTH_PERCENT = 5
"""Fetching that takes no more than this share of the run time is not hidden."""
LOSS_PERCENT = 1
"""Share of the slots' time that may be lost to fetching where fetching is hidden."""
SMOOTHING = 8
"""Each new time moves the smoothed one by an eighth of the difference."""


def smoothed(before_ms: int, seen_ms: int) -> int:
    """The smoothed time after one more value, at least 1. `before_ms` is 0 before the first value."""
    seen_ms = max(1, seen_ms)
    return seen_ms if before_ms == 0 else max(1, before_ms + (seen_ms - before_ms) // SMOOTHING)


def saw_start(state: State, cluster: ClusterState, attempt: Attempt) -> None:
    """The attempt starts now. Part of `evolve`. An attempt that waited behind others says nothing of fetching."""
    if attempt.to_free:
        cluster.fetch_ms = smoothed(cluster.fetch_ms, state.now_ms - attempt.dispatched_ms)


def saw_end(state: State, cluster: ClusterState, attempt: Attempt) -> None:
    """The node says that the attempt, which had started, has ended by itself. Part of `evolve`."""
    cluster.run_ms = smoothed(cluster.run_ms, state.now_ms - attempt.started_ms)


def hiding(state: State, cluster: ClusterState) -> int:
    """How many attempts must be staged behind running ones to hide the fetching of inputs, by the recorded times, both
    of which must be known. 0 where fetching costs less than parking work would."""
    fetch_ms, run_ms = cluster.fetch_ms, cluster.run_ms
    if 100 * fetch_ms <= WORTH_PERCENT * run_ms:
        return 0
    fetched = -(-3 * cluster.slots * fetch_ms // (2 * run_ms))
    nodes = sum(len(group.ids) for group in state.groups.values() if group.cluster is cluster)
    on_nodes = -(-nodes * (100 * fetch_ms - LOSS_PERCENT * run_ms) // (100 * fetch_ms))
    return max(fetched, on_nodes)


def wanted(cluster: ClusterState, entry: ClusterPolicy, hides: int) -> int:
    """The limit that the recorded times ask for, from 1 to the policy's limit; the policy's where it is not adaptive.
    It is always above what is in flight already, so a lowered limit keeps no slot empty."""
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
    """Adaptive limits that are reached while a slot is free are raised at once, by a quarter or more."""
    reached = [cluster for cluster in state.clusters.values() if backpressure.in_flight(cluster) >= cluster.limit]
    for cluster, entry in _by_times(state, reached):
        most = entry.limit if entry.adaptive else 0
        if cluster.limit < most and _has_free_slot(state, cluster):
            hides = hiding(state, cluster)
            raised = max(wanted(cluster, entry, hides), cluster.limit + (cluster.limit + 3) // 4)
            yield _adapted(cluster, min(most, raised), hides)


def _by_times(state: State, clusters: list[ClusterState]) -> Iterator[tuple[ClusterState, ClusterPolicy]]:
    """The clusters, by name, whose limits the recorded times may change: both times are known, and the limit is not
    `none`. A cluster of CPU workers may have such times from when its name meant other nodes."""
    for cluster in sorted(clusters, key=lambda cluster: cluster.name):
        if cluster.draining or not cluster.fetch_ms or not cluster.run_ms:
            continue
        entry = capacity.policy_of_cluster(state, cluster.name)
        if entry is not None and entry.kind == RUN and (entry.adaptive or entry.limit < UNLIMITED):
            yield cluster, entry


def _has_free_slot(state: State, cluster: ClusterState) -> bool:
    return any(group.free for group in state.groups.values() if group.cluster is cluster)


def _adapted(cluster: ClusterState, limit: int, hides: int) -> LimitAdapted:
    behind = min(hides, limit - 1)
    return LimitAdapted(cluster.name, limit, cluster.fetch_ms, cluster.run_ms, behind)
