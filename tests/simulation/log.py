"""An in-memory log that is as unreliable as the log it stands for.

A produce can succeed, be lost, be appended though its ack is lost, be appended long after its sender gave up, or be
appended twice. The broker stamps each append with its own clock, which can jump. A broker that is down appends nothing,
answers nothing, and is read by nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from contract.topics import DISPATCH_PREFIX
from tests.simulation.timeline import Timeline

CLOCK_START_MS = 1_800_000_000_000
DELIVERY_TIMEOUT_MS = 8_000
LATE_MS_MAX = 15_000


class Record(NamedTuple):
    offset: int
    append_ms: int
    true_ms: int
    """The world's own time of the append. Nobody in the world can know this time."""
    key: str
    value: bytes | None


class Unclear:
    """All that the sender hears: the record is perhaps appended, perhaps not, perhaps later."""


Delivered = Callable[[Record | Unclear], None]


class Fates:
    """How likely each misfortune of one produce is. All zero once the world has healed."""

    __slots__ = ("ack_lost", "doubled", "late", "lost")

    def __init__(self, lost: float = 0, ack_lost: float = 0, late: float = 0, doubled: float = 0) -> None:
        self.lost, self.ack_lost, self.late, self.doubled = lost, ack_lost, late, doubled


class Broker:
    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.topics: dict[str, list[Record]] = {}
        self.clock_offset_ms = 0
        self.down_until_ms = 0
        self.outages: list[tuple[int, int]] = []
        self.fates = Fates()
        self.order_fates = Fates()
        """The misfortunes of the dispatch topics, where a sender does not wait for the ack."""
        self.compacted: set[tuple[str, int]] = set()
        """The topic and offset of each record that compaction took."""
        self.on_append: list[Callable[[str, Record], None]] = []

    @property
    def clock_ms(self) -> int:
        return CLOCK_START_MS + self.timeline.now_ms + self.clock_offset_ms

    @property
    def down(self) -> bool:
        return self.timeline.now_ms < self.down_until_ms

    def go_down(self, for_ms: int) -> None:
        if not self.down:
            self.down_until_ms = self.timeline.now_ms + for_ms
            self.outages.append((self.timeline.now_ms, self.down_until_ms))

    def come_back(self) -> None:
        if self.down:
            start, _ = self.outages.pop()
            self.outages.append((start, self.timeline.now_ms))
            self.down_until_ms = self.timeline.now_ms

    def topic(self, name: str) -> list[Record]:
        return self.topics.setdefault(name, [])

    def read(self, name: str, position: int, records_max: int = 500) -> list[Record]:
        """The records at and after `position`; none while the broker is down."""
        if self.down:
            return []
        found = self.topic(name)[position : position + records_max]
        if self.compacted:
            return [record for record in found if (name, record.offset) not in self.compacted]
        return found

    def compact(self, name: str) -> None:
        """Removes every record for whose key a tombstone came later, except the log's last record."""
        records = self.topic(name)
        buried = {record.key: record.offset for record in records if record.value is None}
        for record in records[:-1]:
            if record.value is not None and record.offset < buried.get(record.key, -1):
                self.compacted.add((name, record.offset))

    def append(self, name: str, value: bytes | None, key: str = "", append_ms: int | None = None) -> Record:
        """Appends at once: the broker's own act, not a client's."""
        records = self.topic(name)
        stamp = self.clock_ms if append_ms is None else append_ms
        record = Record(len(records), stamp, self.timeline.now_ms, key, value)
        records.append(record)
        for hear in self.on_append:
            hear(name, record)
        return record

    def produce(self, name: str, value: bytes | None, done: Delivered | None = None, key: str = "") -> None:
        """A client's produce. `done` hears the outcome exactly once."""
        timeline = self.timeline
        fates = self.order_fates if name.startswith(DISPATCH_PREFIX) else self.fates
        draw = timeline.chance.random()
        hear = done or (lambda outcome: None)
        latency = timeline.between(1, 6)
        if self.down:
            self._produce_in_outage(name, value, hear, key)
        elif draw < fates.lost:
            timeline.after(DELIVERY_TIMEOUT_MS, lambda: hear(Unclear()))
        elif draw < fates.lost + fates.ack_lost:
            timeline.after(latency, lambda: self._arrive(name, value, key, None))
            timeline.after(DELIVERY_TIMEOUT_MS, lambda: hear(Unclear()))
        elif draw < fates.lost + fates.ack_lost + fates.late:
            late = timeline.between(DELIVERY_TIMEOUT_MS // 2, LATE_MS_MAX)
            timeline.after(late, lambda: self._arrive(name, value, key, None))
            timeline.after(timeline.between(50, DELIVERY_TIMEOUT_MS), lambda: hear(Unclear()))
        else:
            timeline.after(latency, lambda: self._arrive(name, value, key, hear))
            if draw > 1 - fates.doubled:
                timeline.after(latency + timeline.between(1, 4_000), lambda: self._arrive(name, value, key, None))

    def _produce_in_outage(self, name: str, value: bytes | None, hear: Delivered, key: str) -> None:
        """The client keeps trying until its delivery timeout; a broker that is back by then takes the record."""
        back_in = self.down_until_ms - self.timeline.now_ms
        if back_in < DELIVERY_TIMEOUT_MS:
            self.timeline.after(back_in + self.timeline.between(1, 30), lambda: self._arrive(name, value, key, hear))
        else:
            self.timeline.after(DELIVERY_TIMEOUT_MS, lambda: hear(Unclear()))

    def _arrive(self, name: str, value: bytes | None, key: str, hear: Delivered | None) -> None:
        if self.down:
            delay = self.down_until_ms - self.timeline.now_ms + self.timeline.between(1, 30)
            self.timeline.after(delay, lambda: self._arrive(name, value, key, hear))
            return
        record = self.append(name, value, key)
        if hear is not None:
            self.timeline.after(self.timeline.between(1, 4), lambda: hear(record))
