"""`python -m streams.projector`: the ledger, folded into the Postgres views.

The position is in the database, in the same transaction as the rows: Faust is sought to it, and a fresh, empty database
is built from the ledger's beginning. While the database is away the projector waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import sqlalchemy
import structlog
from faust.types import TP
from sqlalchemy.exc import OperationalError

from contract.codec import Malformed, decode_batch
from contract.topics import LEDGER
from runtime.kafka import Record, Watermarks
from runtime.postgres import engine
from runtime.settings import Settings
from scheduling.chain import Chain, Counted, Damaged
from streams.faust_app import die, host, in_batches, make_app, seek_to, start, wait_for_broker
from streams.follower import Follower
from streams.metrics import PROJECTED
from streams.pools import pool_in_ledger
from views import projection

GROUP = "headrace-projector"
TAKE_RECORDS = 500
REST_S = 0.02
"""Between two transactions: what comes after a quiet moment is shown at once, a busy ledger in few large steps."""
RETRY_S = 0.5
CHAIN_RECORDS_MAX = 100_000
"""Records the chain rule remembers before it starts anew where it stands: bounds its memory."""

log = structlog.get_logger(__name__)


class Projected:
    """One partition of the ledger: its pool, where the views are, and which records count."""

    def __init__(self, pool: str, at: projection.Position | None, follower: Follower) -> None:
        self.pool, self.follower = pool, follower
        self.judged = 0
        self.chain = Chain(pool) if at is None else Chain.at(pool, at.hash, at.seq, at.epoch, at.offset)

    def counted(self, record: Record) -> projection.Record | None:
        """The record as the views take it; None when it does not count."""
        judged = self.chain.offer(record.offset, record.value or b"")
        self.judged += 1
        if self.judged % CHAIN_RECORDS_MAX == 0:
            chain = self.chain
            self.chain = Chain.at(self.pool, chain.head_hash, chain.seq, chain.epoch, record.offset)
        if not isinstance(judged, Counted):
            return None
        return projection.Record(record.offset, record.timestamp_ms, judged.hash, judged.batch)


class Projector:
    """The partitions of the ledger that this process folds."""

    def __init__(self, settings: Settings, app: Any) -> None:
        self._settings, self._app = settings, app
        self._engine = engine(settings)
        self._watermarks = Watermarks(settings.kafka)
        self._ours: set[int] = set()
        self._pools: dict[int, Projected] = {}
        self._beginning = asyncio.Lock()

    async def assigned(self, partitions: set[int]) -> None:
        """Faust's assignment after a rebalance: all partitions that are ours now."""
        for partition in set(self._pools) - partitions:
            self._pools.pop(partition).follower.close()
        self._ours = partitions
        async with self._beginning:
            for partition in sorted(partitions):
                if partition in self._pools:
                    await self._pools[partition].follower.seek()
                    continue
                pool = await asyncio.to_thread(pool_in_ledger, self._settings, partition)
                if pool is not None:
                    await self._begin(partition, pool)

    async def take(self, delivered: Sequence[Record]) -> None:
        """Fold what counts of these records, one transaction a pool."""
        counted: dict[int, list[projection.Record]] = {}
        for record in delivered:
            if record.partition not in self._ours:
                continue
            if record.partition not in self._pools:
                await self._begin_with(record)
            projected = self._pools[record.partition]
            if not await projected.follower.wants(record.offset, record.follows):
                continue
            try:
                fresh = projected.counted(record)
            except Damaged as damage:
                die("the ledger is damaged; run `headrace audit verify`", pool=projected.pool, found=str(damage))
            if fresh is not None:
                counted.setdefault(record.partition, []).append(fresh)
        for partition, records in counted.items():
            await self._fold(partition, records)

    def places(self) -> dict[int, int]:
        """The next offset of each ledger to read."""
        return {partition: projected.follower.wanted for partition, projected in self._pools.items()}

    async def stop(self) -> None:
        """SIGTERM: whatever was folded is committed."""
        for projected in self._pools.values():
            projected.follower.close()
        log.info("stopped")

    async def _begin_with(self, record: Record) -> None:
        """The first record of a ledger that was empty when it was assigned says whose it is."""
        try:
            pool = decode_batch(record.value).pool
        except Malformed as malformed:
            die("the ledger is damaged; run `headrace audit verify`", offset=record.offset, found=str(malformed))
        async with self._beginning:
            if record.partition not in self._pools:
                await self._begin(record.partition, pool)

    async def _begin(self, partition: int, pool: str) -> None:
        """Read on from where the views are."""
        at = await self._retried(lambda connection: projection.position(connection, pool))
        if partition in self._pools:
            self._pools.pop(partition).follower.close()
        start_at = 0 if at is None else at.offset + 1
        follower = Follower(LEDGER, partition, start_at, watermarks=self._watermarks, seek=self._seek)
        self._pools[partition] = Projected(pool, at, follower)
        log.info("folding a ledger into the views", pool=pool, partition=partition, position=start_at)

    async def _fold(self, partition: int, records: list[projection.Record]) -> None:
        pool = self._pools[partition].pool

        def apply(connection: sqlalchemy.Connection) -> int:
            connection.execute(sqlalchemy.text("SET LOCAL synchronous_commit = off"))
            return projection.apply_all(connection, pool, records)

        try:
            PROJECTED.labels(pool).inc(await self._retried(apply))
        except projection.OutOfStep as error:
            log.warning(
                "the views are not where they were; reading on from where they are", pool=pool, found=str(error)
            )
            await self._begin(partition, pool)

    async def _retried(self, work: Any) -> Any:
        """Run `work(connection)` in a transaction, in a thread, until the database takes it."""
        said = False
        while True:
            try:
                return await asyncio.to_thread(self._in_transaction, work)
            except OperationalError as error:
                if not said:
                    log.warning("waiting for the database", found=type(error.orig).__name__)
                    said = True
            await asyncio.sleep(RETRY_S)

    def _in_transaction(self, work: Any) -> Any:
        with self._engine.begin() as connection:
            return work(connection)

    async def _seek(self, topic: str, partition: int, offset: int) -> None:
        await seek_to(self._app, TP(topic, partition), offset)


async def serve(settings: Settings, group: str) -> None:
    """Run until SIGTERM."""
    await wait_for_broker(settings, LEDGER)
    app = make_app(group, settings)
    projector = Projector(settings, app)

    async def project(stream: Any) -> None:
        await in_batches(stream, projector.take, TAKE_RECORDS, REST_S)

    await host(app, LEDGER, project, assigned=projector.assigned, stop=projector.stop, places=projector.places)


def main() -> None:
    start("projector", serve, GROUP)


if __name__ == "__main__":
    main()
