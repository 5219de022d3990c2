"""A second, naive answer to where a gang fits, for whom slots may be kept, and what may use them meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Collection

from tests.simulation.book import Book
from tests.simulation.naive import Row
from tests.simulation.pages import NodeBook


class NaiveGangs:
    def __init__(self, book: Book, fits: Callable[[NodeBook, str], bool], takes_work: Callable[[str], bool]) -> None:
        """`fits` says whether a node fits a class, `takes_work` whether a cluster takes work."""
        self.book, self._fits, self._takes_work = book, fits, takes_work

    def ready(self, rows: Collection[Row]) -> str:
        """The gang that slots were kept for and that fits now; such a gang goes before any other job."""
        for cluster in sorted(self.book.reserved):
            row = next(row for row in rows if row.job == self.book.reserved[cluster].job)
            kept = {name for name, _ in self.book.reserved[cluster].seats}
            without = set(self.book.jobs[row.job].failed_on) - kept
            if any(self.holds(row, name, cluster, without) for name in self.book.limits):
                return row.job
        return ""

    def on_offer(self, row: Row, room: Collection[NodeBook]) -> list[NodeBook]:
        """Those of the nodes that have room and whose clusters hold the gang or could keep slots for the gang."""
        kept_for = {self.book.jobs[kept.job].version for kept in self.book.reserved.values()}
        if any(self.book.requirements[v] == self.book.requirements[row.version] for v in kept_for):
            return []
        able = {node.cluster for node in room}
        able = {name for name in able if self.holds(row, name) or self.may_keep(row, name)}
        return [node for node in room if node.cluster in able]

    def holds(self, row: Row, cluster: str, own: str = "", without: Collection[str] = ()) -> bool:
        free = {}
        for node in self._there(row, cluster, without):
            kept = 0 if cluster == own else self.book.kept(node.node)
            free[node.node] = max(0, node.usable - self.book.held(node.node) - kept)
        return self._takes_work(cluster) and self._are_enough(row, {name: n for name, n in free.items() if n})

    def goes(self, row: Row) -> bool:
        """Whether the gang goes now. If it could go, or have slots kept, where it never failed, it goes nowhere
        else."""
        without = self.book.jobs[row.job].failed_on
        if any(self.holds(row, cluster, without=without) for cluster in self.book.limits):
            return True
        if without and any(self.may_keep(row, cluster, without) for cluster in self.book.limits):
            return False
        return any(self.holds(row, cluster) for cluster in self.book.limits)

    def may_keep(self, row: Row, cluster: str, without: Collection[str] = ()) -> bool:
        is_able = cluster in self.book.policy["clusters"] and cluster not in self.book.draining_clusters
        slots = {node.node: node.usable for node in self._there(row, cluster, without) if node.usable}
        return is_able and cluster not in self.book.reserved and self._are_enough(row, slots)

    def _there(self, row: Row, cluster: str, without: Collection[str] = ()) -> list[NodeBook]:
        nodes = (node for node in self.book.nodes.values() if node.cluster == cluster and node.takes_new)
        out = {*without, *self.book.cordoned}
        return [node for node in nodes if self._fits(node, row.kind) and node.node not in out]

    def _are_enough(self, row: Row, slots: dict[str, int]) -> bool:
        """Whether the gang fits on one node, or on several of which one can be reached."""
        ranks = self.book.ranks(row.version)
        if any(count >= ranks for count in slots.values()):
            return True
        if not self.book.policy["gang_network"]:
            return False
        return sum(slots.values()) >= ranks and any(self.book.nodes[name].address for name in slots)

    def has_kept_room(self, node: NodeBook, kind: str) -> bool:
        """Whether the node has free slots and all of them are kept."""
        free = node.usable - self.book.held(node.node)
        takes = self._takes_work(node.cluster) and node.takes_new and node.node not in self.book.cordoned
        return takes and self._fits(node, kind) and 0 < free <= self.book.kept(node.node)

    def back_fill(self, row: Row, now_ms: int) -> NodeBook | None:
        """The node whose kept slot the job may use, because the job is expected to end before the gang is expected to
        go."""
        run_ms = self.book.run_ms.get(row.version, 0)
        able = []
        for node in self.book.nodes.values():
            if run_ms and not row.avoids and self.has_kept_room(node, row.kind):
                ends_ms = now_ms + self.book.fetch_ms.get(node.cluster, 0) + run_ms
                if ends_ms <= self.book.reserved[node.cluster].free_ms:
                    able.append(node)
        return min(able, key=lambda node: (self.warmth(node, row.version), node.cluster, node.node), default=None)

    @staticmethod
    def warmth(node: NodeBook, version: str) -> int:
        return 0 if version in node.loaded else 1 if version in node.cached else 2
