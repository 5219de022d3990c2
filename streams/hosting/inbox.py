"""Records that Faust delivered and that nobody has taken yet, within a bound in bytes.

Delivering never waits for the taker: several pools share one stream. When much is waiting, the partition is held back:
nothing more is fetched, and what was fetched already still fits. A record that does not fit is dropped, and is sought
back when there is room: the follower of the partition knows which record it wants next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from runtime.kafka import Record

WAITING_BYTES = 8 * 1024 * 1024
"""When more is waiting, the partition is held back until half of this is taken."""
WAITING_BYTES_MAX = 32 * 1024 * 1024
"""What does not fit in here is dropped. It is more than a fetch brings after the partition was held back."""
RECORD_BYTES = 1_700
"""What a record costs in memory beside its bytes, with the message and the event that Faust makes of it (1,680 measured
with six headers, by tracemalloc)."""
YIELD_EVERY = 200
"""Whoever takes records gives others a turn on the event loop after so many."""


def bytes_of(record: Record) -> int:
    """What the record's bytes take in memory."""
    headers = sum(len(name) + len(value or b"") for name, value in record.headers)
    return len(record.value or b"") + len(record.key or b"") + headers


class Inbox:
    """The inbox of one taker. Make it on the event loop, and call all methods from there."""

    def __init__(
        self,
        hold: Callable[[], None],
        release: Callable[[], None],
        *,
        waiting_bytes: int = WAITING_BYTES,
        waiting_bytes_max: int = WAITING_BYTES_MAX,
    ) -> None:
        self._hold, self._release = hold, release
        self._waiting_bytes, self._waiting_bytes_max = waiting_bytes, waiting_bytes_max
        self._waiting: deque[tuple[Record, int]] = deque()
        self._bytes = 0
        self._held = False
        self._arrived = asyncio.Event()
        self._missed = False

    def put(self, record: Record) -> None:
        size = bytes_of(record) + RECORD_BYTES
        if self._waiting and self._bytes + size > self._waiting_bytes_max:
            self._missed = True
            return
        self._waiting.append((record, size))
        self._bytes += size
        self._arrived.set()
        if self._bytes > self._waiting_bytes and not self._held:
            self._held = True
            self._hold()

    def take_missed(self) -> bool:
        """True once after records were dropped, as soon as all that was waiting is taken."""
        missed = self._missed and not self._waiting
        self._missed = self._missed and not missed
        return missed

    def __bool__(self) -> bool:
        """Something is waiting."""
        return bool(self._waiting)

    async def get(self) -> Record:
        """Take the oldest record. Waits for one if there is none."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        record, size = self._waiting.popleft()
        self._bytes -= size
        if self._held and self._bytes <= self._waiting_bytes // 2:
            self._held = False
            self._release()
        return record

    def close(self) -> None:
        """Drop what is waiting, and hold nothing back any more."""
        self._waiting.clear()
        self._bytes = 0
        if self._held:
            self._held = False
            self._release()
