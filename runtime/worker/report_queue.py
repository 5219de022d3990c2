"""What a node has to say, in order, until the broker has it. Pure: the sender sends and tells what became of a record.

One record is under way at a time, so the order of records can never change. Reports that gather meanwhile go into the
next record, so records grow with the load, up to a bound in bytes. A record without a clean ack is sent again; readers
count a report once. A heartbeat is true at its place in this order, so a heartbeat that waits through an outage stays
true, and at most one waits. A record that the broker refuses for its size is never sent again as it is: its reports go
into smaller records, or its lists are left out.

The versions on the node's disk are listed with the join, and in heartbeats from a change of the list until the broker
has such a heartbeat; other heartbeats name the list by its digest only, because the ledger keeps every heartbeat.
"""

from __future__ import annotations

from collections import deque

import msgspec

from contract.bounds import REPORTS_BYTES_MAX
from contract.codec import encode
from contract.inputs import NodeHeartbeat, NodeJoined, NodeLeft, NodeReport, Report, cached_digest

BRIEF_RECORDS = 120
"""After the broker refused a join or heartbeat for its size, this many of them, ten minutes' worth, list no
versions."""

NodeRecord = NodeJoined | NodeHeartbeat | NodeLeft | NodeReport


class ReportQueue:
    def __init__(self, node: str) -> None:
        self._node = node
        self._waiting: deque[NodeRecord | tuple[str, Report]] = deque()
        self._heartbeat_waits = False
        self._under_way: NodeRecord | None = None
        self._whole: NodeJoined | NodeHeartbeat | None = None
        """The last join or heartbeat taken from those that wait, with all its lists."""
        self._reports_bytes_max = REPORTS_BYTES_MAX
        self._brief = 0
        """How many of the next joins and heartbeats go without lists of versions."""
        self._told = ""
        """Digest of the list of cached versions that the broker has from this session; empty: it has none."""

    def __len__(self) -> int:
        """How many records and reports the broker does not have yet."""
        return len(self._waiting) + (self._under_way is not None)

    def report(self, session: str, report: Report) -> None:
        self._waiting.append((session, report))

    def say(self, record: NodeJoined | NodeLeft) -> None:
        self._waiting.append(record)

    def list_versions(self) -> None:
        """The scheduler does not have the list of cached versions: the next heartbeat lists them."""
        self._told = ""

    @property
    def wants_heartbeat(self) -> bool:
        """False while a heartbeat waits to be sent: a second heartbeat would add nothing."""
        return not self._heartbeat_waits

    def heartbeat(self, record: NodeHeartbeat) -> None:
        self._waiting.append(record)
        self._heartbeat_waits = True

    def next(self) -> NodeRecord | None:
        """The record to send now, and again until it is `delivered` or `refused`; None while one is under way."""
        if self._under_way is not None or not self._waiting:
            return None
        head = self._waiting[0]
        if isinstance(head, tuple):
            self._under_way = self._gathered(head[0])
        else:
            self._waiting.popleft()
            if isinstance(head, NodeHeartbeat):
                self._heartbeat_waits = False
            self._under_way = self._listing(head)
        return self._under_way

    def delivered(self) -> NodeRecord:
        """The broker has the record under way, which is returned."""
        record = self._settled()
        if isinstance(record, NodeJoined):
            self._told = cached_digest(record.cached)
        elif isinstance(record, NodeHeartbeat) and cached_digest(record.cached) == record.cached_digest:
            self._told = record.cached_digest
        return record

    def refused(self) -> NodeRecord | None:
        """The broker refuses the record under way for its size. What the record said comes next, in smaller records. A
        record of which nothing can be left out is dropped and returned."""
        record = self._settled()
        match record:
            case NodeReport(session=session, reports=reports) if len(reports) > 1:
                self._reports_bytes_max = len(encode(record)) // 2
                self._waiting.extendleft((session, report) for report in reversed(reports))
            case NodeJoined(cached=listed) if listed and self._whole is not None:
                self._brief = BRIEF_RECORDS
                self._waiting.appendleft(self._whole)
            case NodeHeartbeat(loaded=loaded, cached=cached) if (loaded or cached) and self._whole is not None:
                self._brief = BRIEF_RECORDS
                if not self._heartbeat_waits:
                    self._waiting.appendleft(self._whole)
                    self._heartbeat_waits = True
            case _:
                return record
        return None

    def _settled(self) -> NodeRecord:
        record, self._under_way = self._under_way, None
        assert record is not None, "a record was settled, but none was under way"
        return record

    def _listing(self, record: NodeRecord) -> NodeRecord:
        """The record, without its lists of versions while the broker refuses these, and without the cached versions
        where the broker has their list. The lists of attempts stay: the scheduler takes an attempt that is not listed
        for an attempt that the node forgot."""
        if not isinstance(record, NodeJoined | NodeHeartbeat):
            return record
        self._whole = record
        if self._brief:
            self._brief -= 1
            if isinstance(record, NodeJoined):
                return msgspec.structs.replace(record, cached=())
            return msgspec.structs.replace(record, loaded=(), cached=(), cached_digest="")
        if isinstance(record, NodeHeartbeat) and record.cached_digest and record.cached_digest == self._told:
            return msgspec.structs.replace(record, cached=())
        return record

    def _gathered(self, session: str) -> NodeReport:
        reports: list[Report] = []
        room = self._reports_bytes_max - len(encode(NodeReport(self._node, session, ())))
        while self._waiting:
            head = self._waiting[0]
            if not isinstance(head, tuple) or head[0] != session:
                break
            room -= len(encode(head[1])) + len(",")
            if reports and room < 0:
                break
            reports.append(head[1])
            self._waiting.popleft()
        return NodeReport(self._node, session, tuple(reports))
