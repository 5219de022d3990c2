"""What a pool runs on (policy, versions, aliases, clusters, nodes) applied to its rows: pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from contract import events as e
from contract.batch import Batch
from contract.lifecycle import IllegalTransition
from views import rows


class PoolFold:
    """Rows under change. What changed since the beginning is in the public attributes."""

    def __init__(self, pool: str, nodes: Mapping[str, rows.NodeRow], clusters: Mapping[str, rows.ClusterRow]) -> None:
        self._pool = pool
        self._nodes = dict(nodes)
        self._clusters = dict(clusters)
        self.opened: e.Opened | None = None
        self.nodes: dict[str, rows.NodeRow] = {}
        self.clusters: dict[str, rows.ClusterRow] = {}
        self.policy: rows.PolicyRow | None = None
        self.versions: dict[tuple[str, str], rows.VersionRow] = {}
        self.aliases: dict[tuple[str, str], rows.AliasRow] = {}
        self.counters: Counter[str] = Counter()
        """Difference by event class, and `ReportStale:<kind>` beside."""
        self._now_ms = self._seq = self._offset = 0

    def begin(self, offset: int, batch: Batch) -> None:
        """The events that follow are those of this batch."""
        self._now_ms, self._seq, self._offset = batch.now_ms, batch.seq, offset

    def apply(self, event: e.Event) -> None:
        """Any event; those of jobs are only counted. IllegalTransition when a node was never admitted."""
        self.counters[type(event).__name__] += 1
        handler = _EVENTS.get(type(event))
        if handler is not None:
            handler(self, event)

    def _opened(self, event: e.Opened) -> None:
        self.opened = event

    def _policy_adopted(self, event: e.PolicyAdopted | e.PolicyReverted) -> None:
        document = msgspec.Raw(msgspec.json.encode(event.policy))
        self.policy = rows.PolicyRow(self._pool, event.fingerprint, document, self._now_ms, self._seq)
        named = {name: c.limit for name, c in event.policy.clusters.items() if c.pool == self._pool}
        for name in {**self._clusters, **named}:
            row = self._clusters.get(name)
            if name not in named and row is not None:
                row.state, row.deadline_ms = "removed", None
            elif row is None:
                row = rows.ClusterRow(self._pool, name, named[name], "active")
            else:
                row.limit = named[name]
                row.state = "active" if row.state == "removed" else row.state
            self._clusters[name] = self.clusters[name] = row

    def _version_registered(self, event: e.VersionRegistered) -> None:
        needs = msgspec.Raw(msgspec.json.encode(event.requirements))
        self.versions[event.model, event.version] = rows.VersionRow(
            self._pool, event.model, event.version, needs, event.timeout_ms, self._now_ms
        )

    def _alias_pointed(self, event: e.AliasPointed) -> None:
        self.aliases[event.model, event.alias] = rows.AliasRow(
            self._pool, event.model, event.alias, event.version, event.move, self._now_ms
        )

    def _node_admitted(self, event: e.NodeAdmitted) -> None:
        self._nodes[event.node] = self.nodes[event.node] = rows.NodeRow(
            self._pool,
            event.node,
            event.session,
            event.cluster,
            event.chipset,
            event.slots,
            event.gpus,
            event.memory_mib,
            (),
            event.cached,
            "ready",
            self._now_ms,
            self._now_ms,
        )

    def _node(self, event: Any) -> rows.NodeRow:
        row = self._nodes.get(event.node)
        if row is None:
            raise IllegalTransition(
                f"pool {self._pool}, ledger offset {self._offset}: {type(event).__name__} names"
                f" node {event.node}, expected one that was admitted before"
            )
        self.nodes[event.node] = row
        return row

    def _node_heard(self, event: e.NodeHeard) -> None:
        self._node(event).heard_ms = self._now_ms

    def _node_versions(self, event: e.NodeVersionsChanged) -> None:
        row = self._node(event)
        row.loaded, row.cached = event.loaded, event.cached

    def _node_drained(self, event: e.NodeDrained) -> None:
        self._node(event).state = "draining"

    def _node_departed(self, event: e.NodeDeparted) -> None:
        self._node(event).state = "departed"

    def _node_lost(self, event: e.NodeLost) -> None:
        self._node(event).state = "lost"

    def _cluster(self, name: str, state: str, deadline_ms: int | None) -> None:
        row = self._clusters.get(name) or rows.ClusterRow(self._pool, name, 0, state)
        row.state, row.deadline_ms = state, deadline_ms
        self._clusters[name] = self.clusters[name] = row

    def _cluster_draining(self, event: e.ClusterDraining) -> None:
        self._cluster(event.cluster, "draining", event.deadline_ms or None)

    def _cluster_returned(self, event: e.ClusterReturned) -> None:
        self._cluster(event.cluster, "active", None)

    def _limit_adapted(self, event: e.LimitAdapted) -> None:
        row = self._clusters.get(event.cluster)
        if row is None:
            raise IllegalTransition(
                f"pool {self._pool}, ledger offset {self._offset}: LimitAdapted names cluster {event.cluster},"
                " expected one of the policy"
            )
        row.limit = event.limit
        self.clusters[event.cluster] = row

    def _report_stale(self, event: e.ReportStale) -> None:
        self.counters[f"ReportStale:{event.kind}"] += 1


_EVENTS: dict[type, Callable[[PoolFold, Any], None]] = {
    e.Opened: PoolFold._opened,
    e.PolicyAdopted: PoolFold._policy_adopted,
    e.PolicyReverted: PoolFold._policy_adopted,
    e.LimitAdapted: PoolFold._limit_adapted,
    e.VersionRegistered: PoolFold._version_registered,
    e.AliasPointed: PoolFold._alias_pointed,
    e.NodeAdmitted: PoolFold._node_admitted,
    e.NodeHeard: PoolFold._node_heard,
    e.NodeVersionsChanged: PoolFold._node_versions,
    e.NodeDrained: PoolFold._node_drained,
    e.NodeDeparted: PoolFold._node_departed,
    e.NodeLost: PoolFold._node_lost,
    e.ClusterDraining: PoolFold._cluster_draining,
    e.ClusterReturned: PoolFold._cluster_returned,
    e.ReportStale: PoolFold._report_stale,
}
