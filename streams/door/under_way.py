"""Records of `submissions` that were taken and are not acknowledged elsewhere yet, within a bound."""

from __future__ import annotations

from collections import deque
from itertools import islice

from runtime.kafka import Record

RECORDS_MAX = 4_000
BYTES_MAX = 16 * 1024 * 1024
"""Beyond either bound nothing more is taken until half of it is done."""


class UnderWay:
    """Records of one partition, in order."""

    def __init__(self) -> None:
        self._records: deque[Record] = deque()
        self._bytes = 0

    def add(self, record: Record) -> None:
        self._records.append(record)
        self._bytes += _size(record)

    def __len__(self) -> int:
        return len(self._records)

    @property
    def offset(self) -> int | None:
        """Of the first record; None when nothing is under way."""
        return self._records[0].offset if self._records else None

    @property
    def is_full(self) -> bool:
        return len(self._records) >= RECORDS_MAX or self._bytes >= BYTES_MAX

    @property
    def is_roomy(self) -> bool:
        """After it was full: enough is done for more to be taken."""
        return len(self._records) < RECORDS_MAX // 2 and self._bytes < BYTES_MAX // 2

    def first(self, records_max: int) -> list[Record]:
        return list(islice(self._records, records_max))

    def drop(self, count: int) -> list[Record]:
        """The first `count` records are acknowledged elsewhere: drop and return them."""
        done = [self._records.popleft() for _ in range(count)]
        self._bytes -= sum(map(_size, done))
        return done

    def clear(self) -> None:
        self._records.clear()
        self._bytes = 0


def _size(record: Record) -> int:
    headers = sum(len(name) + len(value or b"") for name, value in record.headers)
    return len(record.value or b"") + len(record.key or b"") + headers
