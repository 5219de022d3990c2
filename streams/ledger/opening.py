"""The opening of a pool: finding out which pool a partition belongs to, and reading what its writer begins with."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import structlog

from contract.signing import SignatureRefused, Verifier
from runtime.kafka import Record
from scheduling.state.pool import State
from streams.door.signatures import Signatures
from streams.ledger.jobs_reader import JobsReader
from streams.ledger.pool_io import PoolIO
from streams.ledger.pools import pool_named_by
from streams.ledger.snapshots import state_of

log = structlog.get_logger(__name__)


class Beginning(NamedTuple):
    """What the writer of a pool begins with."""

    state: State
    """The newest snapshot's, or the initial one."""
    ledger_end: int
    """The offset behind the ledger's last record."""
    since_s: float
    """When the opening began, by the monotonic clock."""
    signed_from: int
    """Where in `jobs` signatures are asked for from now on, unless they were before; -1: this process has no keys."""


class Opening:
    """A pool that has no writer yet."""

    def __init__(self, io: PoolIO, jobs: JobsReader, verifier: Verifier | None) -> None:
        self._io, self._jobs, self._verifier = io, jobs, verifier

    async def pool(self) -> str:
        """The pool of this partition. Its ledger names it; while the ledger is empty, the first policy in `jobs` that
        names this partition and can be in force, however long that takes."""
        return await self._io.pool_in_ledger() or await self._named_in_jobs()

    async def _named_in_jobs(self) -> str:
        log.info("waiting for a policy that names this partition", partition=self._io.partition)
        named: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        signatures = Signatures(self._verifier, 0)

        async def look_at(record: Record) -> None:
            try:
                signer = signatures.signer_of(record)
            except SignatureRefused:
                return  # read again, and set aside, once the pool is led
            pool = pool_named_by(record.value, self._io.partition, signer)
            if pool and not named.done():
                named.set_result(pool)

        self._jobs.follow(0, look_at, lambda offset: None)
        pool = await named
        self._jobs.leave()
        return pool

    async def beginning(self, pool: str) -> Beginning:
        since_s = time.monotonic()
        state = await state_of(pool, self._io.newest_snapshot, self._io.newest_on_disk)
        ledger_end = await self._io.ledger_end()
        log.info(
            "opening a pool",
            pool=pool,
            partition=self._io.partition,
            snapshot_offset=state.head_offset,
            ledger_end=ledger_end,
        )
        return Beginning(state, ledger_end, since_s, await self._signed_from(ledger_end))

    async def _signed_from(self, ledger_end: int) -> int:
        """A pool that has no ledger yet is signed from its first record on. In another one, what lies in `jobs` now was
        written before this installation had keys."""
        if self._verifier is None:
            return -1
        return await self._io.jobs_end() if ledger_end else 0
