"""The host of one pool of this process: opens the pool, then leads it, and ends with a reason.

Theory of operation. A host is in one stage at a time: first it opens the pool (streams.ledger.opening), then it has a
writer and leads (streams.ledger.leading). Both stages share the reader of `jobs` and one guard
(streams.ledger.host_guard). Every way in from the event loop goes through the guard. An exception there that the host
cannot mend ends the host: it drops its state and says why. Its keeper (streams.ledger.pool_keeper) then opens the pool
anew with another host, which reads the ledger and goes on from there.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from contract.signing import Verifier
from contract.topics import JOBS
from runtime.kafka import Record
from streams.ledger.host_guard import HostEnded, HostGuard
from streams.ledger.jobs_reader import JobsReader
from streams.ledger.leading import Leading
from streams.ledger.opening import Opening
from streams.ledger.pool_io import PoolIO


class PoolHost:
    """One pool, from opening to end. All methods run on the event loop, and none waits for the pool."""

    def __init__(
        self,
        io: PoolIO,
        *,
        snapshot_every_ms: int,
        verifier: Verifier | None,
        on_ended: Callable[[HostEnded], None],
    ) -> None:
        """`verifier` None: this process has no installation keys, and takes unsigned records. `on_ended` hears once
        that the host has ended by itself; it does not hear of `close`."""
        self.pool = ""
        """Empty until the pool of this partition is known."""
        self._io, self._snapshot_every_s, self._on_ended = io, snapshot_every_ms / 1000, on_ended
        self._session, self._verifier = uuid.uuid4().hex, verifier
        self._guard = HostGuard(self._end)
        self._jobs = JobsReader(io, self._guard)
        opening = Opening(io, self._jobs, verifier)
        self._stage: Opening | Leading | None = opening
        """None: the host has ended."""
        self._guard.spawn(self._open(opening))

    async def close(self, *, with_snapshot: bool) -> None:
        """Stop deciding: let the batch in flight land, and store a snapshot if asked and there is anything new."""
        if with_snapshot and isinstance(self._stage, Leading):
            await self._stage.settle()
        self._guard.close()
        self._let_go()

    @property
    def place(self) -> int | None:
        """The next offset of `jobs` to read; None while none is read."""
        return self._jobs.place

    def offer(self, record: Record) -> None:
        """The next record of `jobs` that Faust has."""
        self._guard.run(self._jobs.put, record)

    def recheck(self) -> None:
        """Faust has rebalanced and may have lost its place in `jobs`."""
        self._guard.run(self._recheck)

    async def _open(self, opening: Opening) -> None:
        self.pool = await opening.pool()
        beginning = await opening.beginning(self.pool)
        self._stage = Leading(
            self._io,
            self._guard,
            self._jobs,
            beginning,
            session=self._session,
            verifier=self._verifier,
            snapshot_every_s=self._snapshot_every_s,
        )

    def _recheck(self) -> None:
        self._jobs.seek()
        if isinstance(self._stage, Leading):
            self._stage.recheck()

    def _end(self, ended: HostEnded) -> None:
        place = {"topic": JOBS, "offset": self._stage.position} if isinstance(self._stage, Leading) else {}
        try:
            self._let_go()
        finally:
            self._on_ended(ended._replace(facts={**place, **ended.facts}))

    def _let_go(self) -> None:
        """Drop everything, above all the state: it may be large, and nobody may go on from it."""
        stage, self._stage = self._stage, None
        self._jobs.close()
        if isinstance(stage, Leading):
            stage.close()
