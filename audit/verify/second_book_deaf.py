"""The second book of nodes that are heard and do not know of their attempts.

A heartbeat that does not list an attempt which the node was told of is answered by the order, again. That ends: after
so many heartbeats in a row, for at least a lease, the attempt is closed as `unclaimed` and the node drains, because it
does not hear. A started attempt that is not listed three times in a row was forgotten, and is closed as well.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from audit.verify.second_book_nodes import NodeBook
from contract import events as said
from contract import inputs as heard
from contract import preparation_reports as reports
from contract.batch import Batch

REPEATS = 5
FORGOTTEN = 3


class _Silence(msgspec.Struct):
    """What a node did not list in its last heartbeat, by dispatch."""

    unlisted: dict[str, tuple[int, int]] = {}
    """How many heartbeats in a row, and the lease time of the first."""
    missing: dict[str, int] = {}


class DeafBook:
    """Told of what nodes say and of closings; says what is wrong as (invariant, text, job)."""

    def __init__(self, nodes: NodeBook, wrong: Callable[[str, str, str], None]) -> None:
        self._nodes, self._wrong = nodes, wrong
        self._silent: dict[str, _Silence] = {}
        self._due: dict[str, str] = {}
        """Dispatches that this batch must close, with their nodes."""
        self._deaf: set[str] = set()
        """Nodes that this batch has shown to be deaf."""

    def hear(self, event: said.NodeHeard, node_lease_ms: int) -> None:
        before = self._silent.pop(event.node, None)
        if not event.unlisted and not event.missing:
            return
        before = before or _Silence()
        now_ms, new = self._nodes.lease_ms, (0, self._nodes.lease_ms)
        silence = self._silent[event.node] = _Silence()
        for dispatch in event.unlisted:
            times, since_ms = before.unlisted.get(dispatch, new)
            silence.unlisted[dispatch] = (times + 1, since_ms)
            if times + 1 >= REPEATS and now_ms - since_ms >= node_lease_ms:
                self._due[dispatch] = event.node
                self._deaf.add(event.node)
        for dispatch in event.missing:
            times = silence.missing[dispatch] = before.missing.get(dispatch, 0) + 1
            if times >= FORGOTTEN:
                self._due[dispatch] = event.node

    def forget(self, node: str) -> None:
        """The node's session is over, or a new one begins."""
        self._silent.pop(node, None)
        self._deaf.discard(node)

    def drained(self, event: said.NodeDrained) -> None:
        if event.reason == "deaf" and event.node not in self._deaf:
            self._wrong("I16", f"{event.node} drains as deaf, and no order to it was repeated for a lease", "")

    def closed(self, dispatch: str, event: said.AttemptClosed | said.PreparationClosed, batch: Batch) -> None:
        """An attempt or preparation is closed as unclaimed because its node said so, or because it is due."""
        is_due = self._due.pop(dispatch, None) is not None
        if event.reason == "unclaimed" and not is_due and not _is_given_back(batch, dispatch):
            self._wrong("I10", f"{dispatch} is closed as unclaimed, and its node did not say so", event.job)

    def check_end(self) -> None:
        """Between two batches: no order is repeated for ever."""
        for dispatch, node in self._due.items():
            self._wrong("I9", f"{node} does not know of {dispatch} after so many repeats, and it is still open", "")
        for name in sorted(self._deaf):
            known = self._nodes.nodes.get(name)
            if known is not None and not known.draining:
                self._wrong("I9", f"{name} does not hear its orders and does not drain", "")
        self._due.clear()
        self._deaf.clear()


def _is_given_back(batch: Batch, dispatch: str) -> bool:
    return any(
        (isinstance(report, heard.Stopped) and report.dispatch == dispatch)
        or (
            isinstance(report, reports.PreparationStopped)
            and report.preparation == dispatch
            and report.reason in ("unclaimed", "killed")
        )
        for given in batch.inputs
        if isinstance(given.body, heard.NodeReport)
        for report in given.body.reports
    )
