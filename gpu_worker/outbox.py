"""What a node has to say, in order, until the broker has it. Pure: the agent sends and tells how it went.

One record is under way at a time: what gathers meanwhile goes into the next, so records grow with the load and their
order can never change. A record without a clean ack is sent again; readers count a report once. A heartbeat is true
at its place in this order, so one that waits through an outage stays true, and at most one waits.
"""

from __future__ import annotations

from collections import deque

from contract.inputs import NodeHeartbeat, NodeJoined, NodeLeft, NodeReport, Report

REPORTS_MAX = 1000
"""Reports in one record: about 200 KiB, below the limit of `jobs`."""

Said = NodeJoined | NodeHeartbeat | NodeLeft | NodeReport


class Outbox:
    def __init__(self, node: str) -> None:
        self._node = node
        self._waiting: deque[Said | tuple[str, Report]] = deque()
        self._heartbeat_waits = False
        self._under_way: Said | None = None

    def __len__(self) -> int:
        """How much the broker does not have yet."""
        return len(self._waiting) + (self._under_way is not None)

    def report(self, session: str, report: Report) -> None:
        self._waiting.append((session, report))

    def say(self, record: NodeJoined | NodeLeft) -> None:
        self._waiting.append(record)

    @property
    def wants_heartbeat(self) -> bool:
        """False while one waits to be sent: a second would say nothing more."""
        return not self._heartbeat_waits

    def heartbeat(self, record: NodeHeartbeat) -> None:
        self._waiting.append(record)
        self._heartbeat_waits = True

    def next(self) -> Said | None:
        """The record to send now, and to send again until it is `delivered`; None while one is under way."""
        if self._under_way is not None or not self._waiting:
            return None
        head = self._waiting[0]
        if isinstance(head, tuple):
            self._under_way = self._gathered(head[0])
        else:
            self._waiting.popleft()
            self._under_way = head
            if isinstance(head, NodeHeartbeat):
                self._heartbeat_waits = False
        return self._under_way

    def delivered(self) -> Said:
        """The broker has the record under way, which is returned."""
        record, self._under_way = self._under_way, None
        assert record is not None, "a record was acknowledged, but none was under way"
        return record

    def _gathered(self, session: str) -> NodeReport:
        reports: list[Report] = []
        while self._waiting and len(reports) < REPORTS_MAX:
            head = self._waiting[0]
            if not isinstance(head, tuple) or head[0] != session:
                break
            reports.append(head[1])
            self._waiting.popleft()
        return NodeReport(self._node, session, tuple(reports))
