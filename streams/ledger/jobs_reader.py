"""The records of `jobs` as one pool takes them: in order, each once, from a position of its own, as fast as it decides.

Faust delivers into an inbox and never waits. A task of the pool's own takes from it while not too much is undecided;
whatever that task waits for (a seek, an acknowledgement of `quarantine`), no other pool does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from runtime.kafka import Record
from streams.hosting.follower import Follower
from streams.hosting.inbox import YIELD_EVERY, Inbox
from streams.ledger.host_guard import HostGuard
from streams.ledger.pool_io import PoolIO

UNDECIDED_MAX = 5_000
UNDECIDED_BYTES_MAX = 16 * 1024 * 1024
"""Inputs, and their bytes, given to the writer and in no acknowledged batch yet: beyond either, nothing is taken."""


class JobsReader:
    """One pool's. All methods run on the event loop, and none waits for the pool."""

    def __init__(
        self, io: PoolIO, guard: HostGuard, take: Callable[[Record], Awaitable[None]], skip_to: Callable[[int], None]
    ) -> None:
        """`take(record)` gets each wanted record; `skip_to(offset)` hears that nothing is left before `offset`."""
        self._io, self._guard = io, guard
        self._deliver, self._skip = take, skip_to
        self._inbox = Inbox(io.hold_back, io.release)
        self._taking = asyncio.Lock()
        self._follower: Follower | None = None
        self._undecided: deque[tuple[int, int]] = deque()
        self._undecided_bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        guard.spawn(self._run())

    def follow(self, position: int) -> None:
        """Take from here on, until `leave`. What was delivered before belongs to nobody."""
        self._follower = self._io.follow_jobs(position, self._guard.of(self._on_gap), self._inbox.__bool__)

    def leave(self) -> None:
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    @property
    def place(self) -> int | None:
        """The next offset to take; None while none is taken."""
        return self._follower.wanted if self._follower is not None else None

    def put(self, record: Record) -> None:
        """The next record that Faust has."""
        self._inbox.put(record)

    def seek(self) -> None:
        """Faust may have lost its place."""
        if self._follower is not None:
            self._guard.spawn(self._follower.seek())

    def note_undecided(self, offset: int, size_bytes: int) -> None:
        """The record at `offset` waits for a decision."""
        self._undecided.append((offset, size_bytes))
        self._undecided_bytes += size_bytes
        self._make_room()

    def note_decided(self, position: int) -> None:
        """What comes before `position` is decided, and acknowledged in the ledger."""
        while self._undecided and self._undecided[0][0] < position:
            self._undecided_bytes -= self._undecided.popleft()[1]
        self._make_room()

    def close(self) -> None:
        self.leave()
        self._inbox.close()

    def _make_room(self) -> None:
        if len(self._undecided) < UNDECIDED_MAX and self._undecided_bytes < UNDECIDED_BYTES_MAX:
            self._room.set()
        else:
            self._room.clear()

    async def _run(self) -> None:
        taken = 0
        while True:
            await self._room.wait()
            if self._inbox.take_missed() and self._follower is not None:
                await self._follower.seek()
            record = await self._inbox.get()
            async with self._taking:
                if self._follower is not None and await self._follower.take(record.offset, record.follows):
                    await self._deliver(record)
            taken += 1
            if taken % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    def _on_gap(self, first: int) -> None:
        self._guard.spawn(self._skip_to(first))

    async def _skip_to(self, first: int) -> None:
        """What is being taken just now comes before the gap."""
        async with self._taking:
            self._skip(first)
