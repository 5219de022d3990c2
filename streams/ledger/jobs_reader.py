"""The records of `jobs` as one pool takes them: in order, each once, from a position of its own, as fast as it decides.

Faust delivers into an inbox and never waits. A task of the pool takes from the inbox while not too much is undecided.
That task may wait for a seek, or for an acknowledgement of `quarantine`; no other pool waits with it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from runtime.kafka import Record
from streams.hosting.follower import Follower
from streams.hosting.inbox import YIELD_EVERY, Inbox
from streams.ledger.host_guard import HostGuard
from streams.ledger.pool_io import PoolIO

UNDECIDED_MAX = 5_000
UNDECIDED_BYTES_MAX = 16 * 1024 * 1024
"""Inputs, and their bytes, that the writer has and that are in no acknowledged batch yet. Beyond either bound nothing
more is taken."""


class FollowedJobs(NamedTuple):
    """Who follows `jobs`, and who gets its records."""

    follower: Follower
    take: Callable[[Record], Awaitable[None]]
    skip_to: Callable[[int], None]


class JobsReader:
    """The reader of one pool. All methods run on the event loop, and none waits for the pool."""

    def __init__(self, io: PoolIO, guard: HostGuard) -> None:
        self._io, self._guard = io, guard
        self._inbox = Inbox(io.hold_back, io.release)
        self._taking = asyncio.Lock()
        self._following: FollowedJobs | None = None
        self._undecided: deque[tuple[int, int]] = deque()
        """Offset and bytes of each undecided input, oldest first."""
        self._undecided_bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        guard.spawn(self._run())

    def follow(self, position: int, take: Callable[[Record], Awaitable[None]], skip_to: Callable[[int], None]) -> None:
        """Take records from `position` on, until `leave`. `take(record)` gets each one. `skip_to(offset)` hears that no
        record is left before `offset`. Records that were delivered before this call are dropped."""
        follower = self._io.follow_jobs(position, self._guard.of(self._on_gap), self._inbox.__bool__)
        self._following = FollowedJobs(follower, take, skip_to)

    def leave(self) -> None:
        if self._following is not None:
            self._following.follower.close()
            self._following = None

    @property
    def place(self) -> int | None:
        """The next offset to take; None while nothing is taken."""
        return self._following.follower.wanted if self._following is not None else None

    def put(self, record: Record) -> None:
        """The next record that Faust has."""
        self._inbox.put(record)

    def seek(self) -> None:
        """Faust may have lost its place: seek to ours."""
        if self._following is not None:
            self._guard.spawn(self._following.follower.seek())

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
            if self._inbox.take_missed() and self._following is not None:
                await self._following.follower.seek()
            record = await self._inbox.get()
            async with self._taking:
                following = self._following
                if following is not None and await following.follower.take(record.offset, record.follows):
                    await following.take(record)
            taken += 1
            if taken % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    def _on_gap(self, first: int) -> None:
        self._guard.spawn(self._skip_to(first))

    async def _skip_to(self, first: int) -> None:
        """Waits for the record that is being taken: that record comes before the gap."""
        async with self._taking:
            if self._following is not None:
                self._following.skip_to(first)
