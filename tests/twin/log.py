"""The log of one partition as a broker keeps it: records, the markers of transactions, and gaps."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

HeaderName = str | bytes
Headers = Sequence[tuple[HeaderName, bytes | None]]


class Kind(Enum):
    DATA = "data"
    COMMIT = "commit"
    ABORT = "abort"


class Entry(NamedTuple):
    """A record, or the marker that ends a transaction."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    kind: Kind = Kind.DATA
    transaction: str = ""
    """Of which producer's transaction the record is; empty: of none."""


class PartitionLog:
    """Not thread-safe: its broker locks."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        """By offset. Compaction leaves holes."""
        self.start = 0
        """The first offset kept."""
        self.end = 0
        """The offset of the next record."""
        self._open: dict[str, int] = {}
        """Transactions under way: the offset of the first record of each."""
        self._aborted: list[tuple[str, int, int]] = []
        """Of each aborted transaction: its producer, its first offset, and its marker's."""

    def append(
        self, timestamp_ms: int, key: bytes | None, value: bytes | None, headers: Headers, transaction: str = ""
    ) -> Entry:
        entry = Entry(self.end, timestamp_ms, key, value, tuple(headers), Kind.DATA, transaction)
        if transaction:
            self._open.setdefault(transaction, self.end)
        self.entries.append(entry)
        self.end += 1
        return entry

    def finish(self, timestamp_ms: int, transaction: str, kind: Kind) -> None:
        """Write the marker that ends the producer's transaction, if it has written here."""
        first = self._open.pop(transaction, None)
        if first is None:
            return
        if kind is Kind.ABORT:
            self._aborted.append((transaction, first, self.end))
        self.entries.append(Entry(self.end, timestamp_ms, None, None, (), kind, transaction))
        self.end += 1

    def leave_gap(self, offsets: int) -> None:
        """As if so many records had been written and compacted away."""
        self.end += offsets

    @property
    def stable_end(self) -> int:
        """Up to which offset records can be read by who reads committed ones only."""
        return min(self._open.values(), default=self.end)

    def end_for(self, *, committed: bool) -> int:
        return self.stable_end if committed else self.end

    def from_offset(self, offset: int, *, committed: bool) -> Iterator[Entry]:
        """The records at or behind `offset` that a reader gets."""
        end = self.end_for(committed=committed)
        for place in range(bisect_left(self.entries, offset, key=lambda entry: entry.offset), len(self.entries)):
            entry = self.entries[place]
            if entry.offset >= end:
                return
            if entry.kind is Kind.DATA and not (committed and self._is_aborted(entry)):
                yield entry

    def at_time(self, timestamp_ms: int) -> Entry | None:
        """The first record that is not older."""
        return next((e for e in self.entries if e.kind is Kind.DATA and e.timestamp_ms >= timestamp_ms), None)

    def trim(self, start: int) -> None:
        """Retention, or an admin, removes what lies before `start`."""
        self.start = max(self.start, min(start, self.end))
        self.entries = [entry for entry in self.entries if entry.offset >= self.start]

    def compact(self, *, tombstones_too: bool = False) -> None:
        """Keep only the newest record of each key. The last record stays, whatever it is: a broker never cleans the
        segment into which it writes. Records without a key are dropped, as a compacted topic does."""
        if not self.entries:
            return
        last, stable = self.entries[-1].offset, self.stable_end
        newest = {entry.key: entry.offset for entry in self.from_offset(0, committed=True)}
        self.entries = [
            entry
            for entry in self.entries
            if (
                entry.offset in (last, newest.get(entry.key))
                and not (tombstones_too and entry.value is None and entry.kind is Kind.DATA and entry.offset < last)
            )
            or entry.offset >= stable
            or (entry.kind is not Kind.DATA and not tombstones_too)
        ]

    def _is_aborted(self, entry: Entry) -> bool:
        return bool(entry.transaction) and any(
            producer == entry.transaction and first <= entry.offset < marker
            for producer, first, marker in self._aborted
        )
