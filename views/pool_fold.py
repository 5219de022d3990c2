"""What a pool runs on (policy, versions, aliases, clusters, nodes) applied to its rows: pure.

A value that does not fit its column is replaced by the nearest that does (views.columns). An event about a node or a
cluster that does not exist is passed over: it must not keep the views of any job waiting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from contract import events as e
from contract.batch import Batch
from views import rows
from views.columns import fitted, is_key_text, jsonb_document, nearest_key, nearest_number

PoolRow = rows.NodeRow | rows.ClusterRow | rows.PolicyRow | rows.VersionRow | rows.WithdrawalRow | rows.AliasRow


class NotShown(Exception):
    """No row can show the event. The message says why, in our words."""


class PoolFold:
    """The rows of a pool while batches are folded over them. The public attributes have what changed."""

    def __init__(self, pool: str, nodes: Mapping[str, rows.NodeRow], clusters: Mapping[str, rows.ClusterRow]) -> None:
        self._pool = pool
        self._nodes = dict(nodes)
        self._clusters = dict(clusters)
        self.opened: e.Opened | None = None
        self.held: bool | None = None
        """The pool was put on hold, or released; None: neither."""
        self.held_by = ""
        """Who put it on hold."""
        self.signed_from: int | None = None
        """From where on the pool takes signed records only; None: no scheduler has said so."""
        self.nodes: dict[str, rows.NodeRow] = {}
        self.clusters: dict[str, rows.ClusterRow] = {}
        self.policy: rows.PolicyRow | None = None
        self.versions: dict[tuple[str, str], rows.VersionRow] = {}
        self.withdrawals: dict[tuple[str, str], rows.WithdrawalRow] = {}
        self.aliases: dict[tuple[str, str], rows.AliasRow] = {}
        self.counters: Counter[str] = Counter()
        """Differences by event class; stale reports also under `ReportStale:<kind>`."""
        self._now_ms = self._seq = 0

    def begin(self, batch: Batch, now_ms: int) -> None:
        """Begins a batch: the events of the next calls belong to it."""
        self._now_ms, self._seq = now_ms, batch.seq

    def apply(self, event: e.Event) -> None:
        """Applies any event. Events of jobs are only counted. NotShown: the event changed nothing."""
        self.counters[type(event).__name__] += 1
        handler = _EVENTS.get(type(event))
        if handler is not None:
            handler(self, event)

    def mark_loaded(self, attempt: rows.AttemptRow, version: str) -> None:
        """An attempt has started: from now on its nodes have the version loaded and cached."""
        for name in attempt.nodes:
            row = self._nodes.get(name)
            if row is None or _has_loaded(row, version):
                continue
            row.loaded = (version,) if row.slots == 1 else tuple(sorted({*row.loaded, version}))
            row.cached = tuple(sorted({*row.cached, version}))
            self._put_node(row)

    def leave_out(self, row: PoolRow) -> None:
        """Leaves the row as it is stored."""
        if row is self.policy:
            self.policy = None
        tables: tuple[dict[Any, Any], ...] = (
            *(self.nodes, self.clusters),
            *(self.versions, self.withdrawals, self.aliases),
        )
        for table in tables:
            for name in [name for name, other in table.items() if other is row]:
                del table[name]

    def _hold(self, event: e.PoolHeld | e.PoolReleased) -> None:
        self.held = isinstance(event, e.PoolHeld)
        self.held_by = event.actor if self.held else ""

    def _opened(self, event: e.Opened) -> None:
        self.opened = event
        if event.signed_from >= 0:  # a scheduler of v0.1.0 that takes over once more says nothing of signatures
            self.signed_from = nearest_number(event.signed_from)

    def _policy_adopted(self, event: e.PolicyAdopted | e.PolicyReverted) -> None:
        actor = event.actor if isinstance(event, e.PolicyAdopted) else ""
        document = jsonb_document(event.policy)
        policy = rows.PolicyRow(self._pool, event.fingerprint, document, self._now_ms, self._seq, actor)
        self.policy = fitted(policy)
        named = {name: c for name, c in event.policy.clusters.items() if c.pool == self._pool}
        for name in {**self._clusters, **named}:
            row = self._clusters.get(name)
            if row is None:
                row = rows.ClusterRow(self._pool, name, 0, "removed")
            row.limit = named[name].limit if name in named else 0
            row.kind = named[name].kind if name in named else row.kind
            if name not in named:
                row.state, row.deadline_ms, row.actor = "removed", None, ""
            elif row.state == "removed":
                row.state = "active"
            self._put_cluster(row)

    def _version_registered(self, event: e.VersionRegistered) -> None:
        _named(event.model, event.version)
        needs = jsonb_document(event.requirements)
        row = rows.VersionRow(self._pool, event.model, event.version, needs, event.timeout_ms, self._now_ms)
        self.versions[event.model, event.version] = fitted(row)

    def _version_withdrawn(self, event: e.VersionWithdrawn) -> None:
        _named(event.model, event.version)
        row = rows.WithdrawalRow(self._pool, event.model, event.version, event.kill, self._now_ms, event.actor)
        self.withdrawals[event.model, event.version] = fitted(row)

    def _alias_pointed(self, event: e.AliasPointed) -> None:
        _named(event.model, event.alias)
        row = rows.AliasRow(self._pool, event.model, event.alias, event.version, event.move, self._now_ms)
        self.aliases[event.model, event.alias] = fitted(row)

    # -- nodes --------------------------------------------------------------------------------------------------

    def _node_admitted(self, event: e.NodeAdmitted) -> None:
        _named(event.node)
        old = self._nodes.get(event.node)
        self._put_node(
            rows.NodeRow(
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
                event.slots,
                cordoned=old.cordoned if old is not None else "",
                cordoned_by=old.cordoned_by if old is not None else "",
                kind=event.kind,
            )
        )

    def _node(self, event: Any) -> rows.NodeRow:
        row = self._nodes.get(event.node)
        if row is None:
            raise NotShown(f"{type(event).__name__} of a node that was never admitted")
        return row

    def _put_node(self, row: rows.NodeRow) -> None:
        self._nodes[row.node] = self.nodes[row.node] = fitted(row)

    def _node_heard(self, event: e.NodeHeard) -> None:
        row = self._node(event)
        row.heard_ms = self._now_ms
        self._put_node(row)

    def _node_versions(self, event: e.NodeVersionsChanged) -> None:
        row = self._node(event)
        row.loaded, row.cached = event.loaded, event.cached
        self._put_node(row)

    def _node_slots(self, event: e.NodeSlotsChanged) -> None:
        row = self._node(event)
        row.usable, row.holding = event.usable, event.holding
        self._put_node(row)

    def _node_cordoned(self, event: e.NodeCordoned | e.NodeUncordoned) -> None:
        row = self._node(event)
        is_cordon = isinstance(event, e.NodeCordoned)
        row.cordoned, row.cordoned_by = (event.reason, event.actor) if is_cordon else ("", "")
        self._put_node(row)

    def _node_drained(self, event: e.NodeDrained) -> None:
        row = self._node(event)
        row.state = "draining"
        self._put_node(row)

    def _node_gone(self, event: e.NodeDeparted | e.NodeLost) -> None:
        row = self._node(event)
        row.state = "departed" if isinstance(event, e.NodeDeparted) else "lost"
        row.loaded = ()
        self._put_node(row)

    # -- clusters -----------------------------------------------------------------------------------------------

    def _put_cluster(self, row: rows.ClusterRow) -> None:
        if is_key_text(row.cluster):
            self._clusters[row.cluster] = self.clusters[row.cluster] = fitted(row)

    def _cluster(self, event: Any) -> rows.ClusterRow:
        row = self._clusters.get(event.cluster)
        if row is None:
            raise NotShown(f"{type(event).__name__} of a cluster that no policy named")
        return row

    def _cluster_draining(self, event: e.ClusterDraining) -> None:
        self._turn(self._cluster(event), "draining", event.deadline_ms or None, event.actor)

    def _cluster_returned(self, event: e.ClusterReturned) -> None:
        self._turn(self._cluster(event), "active", None, event.actor)

    def _turn(self, row: rows.ClusterRow, state: str, deadline_ms: int | None, actor: str) -> None:
        """Changes the state, except of a cluster that the policy does not have: it stays `removed`."""
        if row.state != "removed":
            row.state, row.deadline_ms, row.actor = state, deadline_ms, actor
        self._put_cluster(row)

    def _limit_adapted(self, event: e.LimitAdapted) -> None:
        row = self._cluster(event)
        row.limit = event.limit
        self._put_cluster(row)

    def _report_stale(self, event: e.ReportStale) -> None:
        self.counters[nearest_key(f"ReportStale:{event.kind}")] += 1


def _has_loaded(row: rows.NodeRow, version: str) -> bool:
    return version in row.cached and version in row.loaded and (row.slots > 1 or len(row.loaded) == 1)


def _named(*texts: str) -> None:
    if not all(map(is_key_text, texts)):
        raise NotShown("a name is longer than an index holds, or has the character NUL")


_EVENTS: dict[type, Callable[[PoolFold, Any], None]] = {
    e.Opened: PoolFold._opened,
    e.PoolHeld: PoolFold._hold,
    e.PoolReleased: PoolFold._hold,
    e.PolicyAdopted: PoolFold._policy_adopted,
    e.PolicyReverted: PoolFold._policy_adopted,
    e.LimitAdapted: PoolFold._limit_adapted,
    e.VersionRegistered: PoolFold._version_registered,
    e.VersionWithdrawn: PoolFold._version_withdrawn,
    e.AliasPointed: PoolFold._alias_pointed,
    e.NodeAdmitted: PoolFold._node_admitted,
    e.NodeHeard: PoolFold._node_heard,
    e.NodeVersionsChanged: PoolFold._node_versions,
    e.NodeSlotsChanged: PoolFold._node_slots,
    e.NodeCordoned: PoolFold._node_cordoned,
    e.NodeUncordoned: PoolFold._node_cordoned,
    e.NodeDrained: PoolFold._node_drained,
    e.NodeDeparted: PoolFold._node_gone,
    e.NodeLost: PoolFold._node_gone,
    e.ClusterDraining: PoolFold._cluster_draining,
    e.ClusterReturned: PoolFold._cluster_returned,
    e.ReportStale: PoolFold._report_stale,
}
