"""`python -m streams.projector`: folds the ledger into the Postgres views.

The position is in the database, written in the same transaction as the rows. Faust is sought to it; an empty database
is filled from the beginning of the ledger. While the database is away, read-only, full or busy the projector waits, and
says so. Rows that the database refuses for good are left out (views.refusals), and what cannot be shown is logged with
its place. Only a damaged ledger ends the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn, TypeVar

import psycopg
import sqlalchemy
import structlog
from confluent_kafka import KafkaException
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from contract.chain import Chain, Counted, Damaged
from contract.codec import Malformed, decode_batch
from contract.topics import LEDGER
from runtime.kafka import Record, Watermarks
from runtime.outage_watch import OutageWatch
from runtime.postgres import engine
from runtime.postgres_troubles import trouble_of
from runtime.settings import Settings
from streams.hosting.faust_app import die, host, in_batches, make_app, seek_to, start, wait_for_broker
from streams.hosting.follower import Follower
from streams.ledger.pools import pool_in_ledger
from streams.metrics import PROJECTED, SET_ASIDE
from views import projection
from views.columns import is_key_text
from views.job_fold import Omission
from views.refusals import is_refusal

GROUP = "headrace-projector"
TAKE_RECORDS = 500
REST_S = 0.02
"""Between two transactions. Records that come after a quiet moment are shown at once, a busy ledger in few large
steps."""
WAITING = "waiting for the database: the views stand still until it answers"
CHAIN_RECORDS_MAX = 100_000
"""The chain rule remembers each record that it judged. After so many it starts anew where it stands, to bound
memory."""

LOGGED_MAX = 20
"""At most so many of the things that one transaction does not show get a line of their own."""

log = structlog.get_logger(__name__)

T = TypeVar("T")


class ProjectedLedger:
    """One partition of the ledger: whose it is, how it is followed, and which of its records count."""

    def __init__(self, pool: str, at: projection.Position | None, follower: Follower) -> None:
        self.pool, self.follower = pool, follower
        self._judged = 0
        self._chain = Chain(pool) if at is None else Chain.at(pool, at.hash, at.seq, at.epoch, at.offset)

    def judge(self, record: Record) -> projection.CountedRecord | None:
        """The next record of the ledger, as the views take it; None when it does not count. Damaged."""
        judged = self._chain.offer(record.offset, record.value or b"")
        self._judged += 1
        if self._judged % CHAIN_RECORDS_MAX == 0:
            chain = self._chain
            self._chain = Chain.at(self.pool, chain.head_hash, chain.seq, chain.epoch, record.offset)
        if not isinstance(judged, Counted):
            return None
        return projection.CountedRecord(record.offset, record.timestamp_ms, judged.hash, judged.batch)


class Projector:
    """The partitions of the ledger that this process folds."""

    def __init__(self, settings: Settings, app: Any) -> None:
        self._settings, self._app, self._flow = settings, app, app.flow
        self._engine = engine(settings)
        self._watermarks = Watermarks(settings.brokers)
        self._ours: set[int] = set()
        self._pools: dict[int, ProjectedLedger] = {}
        self._left_out: set[int] = set()
        """Partitions whose pool no table can name."""
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
                pool = await self._pool_in_ledger(partition)
                if pool is not None:
                    await self._begin(partition, pool)

    async def _pool_in_ledger(self, partition: int) -> str | None:
        """Whose ledger lies in this partition, asked until the broker answers; None while it is empty, or when it is
        ours no more. A broker that goes away just after an assignment would end the process otherwise."""
        watch = OutageWatch(
            "waiting for the broker: the views stand still until it answers",
            "the broker answers again: the views go on",
        )
        while partition in self._ours:
            try:
                pool = await asyncio.to_thread(pool_in_ledger, self._settings, partition)
            except KafkaException as error:
                await asyncio.sleep(watch.failed(error.args[0].name(), topic=LEDGER, partition=partition))
            else:
                watch.worked(topic=LEDGER, partition=partition)
                return pool
        return None

    async def take(self, delivered: Sequence[Record]) -> None:
        """Fold those of the records that count, in one transaction a pool."""
        counted: dict[int, tuple[ProjectedLedger, list[projection.CountedRecord]]] = {}
        for record in delivered:
            projected = await self._projected(record)
            if projected is None or not await projected.follower.take(record.offset, record.follows):
                continue
            try:
                fresh = projected.judge(record)
            except Damaged as damage:
                self._damaged(record, str(damage), pool=projected.pool)
            if fresh is not None:
                counted.setdefault(record.partition, (projected, []))[1].append(fresh)
        for partition, (projected, records) in counted.items():
            await self._fold(partition, projected, records)

    def places(self) -> dict[int, int]:
        """The next offset of each ledger to read."""
        return {partition: projected.follower.wanted for partition, projected in self._pools.items()}

    async def stop(self) -> None:
        """SIGTERM: whatever was folded is committed."""
        for projected in self._pools.values():
            projected.follower.close()
        self._engine.dispose()
        log.info("stopped")

    def _is_ours(self, partition: int, projected: ProjectedLedger) -> bool:
        """The partition was not given to another process meanwhile, nor begun anew."""
        return self._pools.get(partition) is projected

    async def _projected(self, record: Record) -> ProjectedLedger | None:
        """Who takes this record; None when it is not for us. A ledger that was empty when it was assigned is begun with
        its first record, which names the pool."""
        partition = record.partition
        if partition not in self._ours or partition in self._left_out:
            return None
        if partition not in self._pools:
            try:
                pool = decode_batch(record.value).pool
            except Malformed as malformed:
                self._damaged(record, str(malformed))
            async with self._beginning:
                if partition not in self._pools:
                    await self._begin(partition, pool)
        return self._pools.get(partition)

    def _damaged(self, record: Record, found: str, **facts: str) -> NoReturn:
        place = {"topic": LEDGER, "partition": record.partition, "offset": record.offset}
        die("the ledger is damaged; run `headrace audit verify`", **place, **facts, found=found)

    async def _begin(self, partition: int, pool: str) -> None:
        """Read on from where the views are."""
        if not is_key_text(pool):
            self._left_out.add(partition)
            reason = "expected a pool's name, found text that no table holds; this ledger is not shown"
            log.error(reason, topic=LEDGER, partition=partition)
            return
        at = await self._retried(
            lambda connection: projection.position(connection, pool),
            lambda: partition in self._ours,
            pool=pool,
            partition=partition,
        )
        if partition not in self._ours:
            return
        if partition in self._pools:
            self._pools.pop(partition).follower.close()
        start_at = 0 if at is None else at.offset + 1
        seek = partial(seek_to, self._app)
        follower = Follower(
            LEDGER, partition, start_at, watermarks=self._watermarks, seek=seek, has_more=lambda: self._flow.is_behind()
        )
        self._pools[partition] = ProjectedLedger(pool, at, follower)
        log.info("folding a ledger into the views", pool=pool, partition=partition, position=start_at)

    async def _fold(self, partition: int, projected: ProjectedLedger, records: list[projection.CountedRecord]) -> None:
        pool = projected.pool
        place: dict[str, Any] = {"pool": pool, "topic": LEDGER, "partition": partition, "offset": records[0].offset}
        ours = partial(self._is_ours, partition, projected)
        try:
            applied = await self._retried(partial(_apply, pool, records), ours, until_refused=True, **place)
        except projection.OutOfStep as error:
            log.warning("the views are not where they were; reading on from where they are", **place, found=str(error))
            async with self._beginning:
                await self._begin(partition, pool)
            return
        except _RowsRefused as refused:
            log.error("the database refused rows of the views; they are tried one by one", **place, found=str(refused))
            applied = await self._retried(partial(_apply, pool, records, carefully=True), ours, **place)
        if applied is not None:
            PROJECTED.labels(pool).inc(applied.records)
            _tell(applied.omissions, pool, partition)

    async def _retried(
        self,
        work: Callable[[sqlalchemy.Connection], T],
        wanted: Callable[[], bool],
        *,
        until_refused: bool = False,
        **place: Any,
    ) -> T | None:
        """What `work(connection)` returns in a transaction, in a thread. Tried again until the database takes it; None
        when it is not `wanted` any more. OutOfStep; with `until_refused` also _RowsRefused."""
        watch = OutageWatch(WAITING, "the database answers again: the views go on")
        while wanted():
            try:
                done = await asyncio.to_thread(self._in_transaction, work)
            except (SQLAlchemyError, psycopg.Error) as error:
                cause = error.orig if isinstance(error, DBAPIError) else error
                found = f"{type(cause).__name__} {getattr(cause, 'sqlstate', None) or ''}".strip()
                if until_refused and is_refusal(cause):
                    raise _RowsRefused(found) from None
                await asyncio.sleep(watch.failed(found, do=trouble_of(error).todo, **place))
            else:
                watch.worked(**place)
                return done
        return None

    def _in_transaction(self, work: Callable[[sqlalchemy.Connection], T]) -> T:
        with self._engine.begin() as connection:
            try:
                return work(connection)
            except psycopg.Error:
                connection.invalidate()  # SQLAlchemy has not seen the driver's error, nor what state it left
                raise


class _RowsRefused(Exception):
    """The database refuses the rows, however often it is asked."""


def _apply(
    pool: str,
    records: Sequence[projection.CountedRecord],
    connection: sqlalchemy.Connection,
    *,
    carefully: bool = False,
) -> projection.Applied:
    connection.execute(sqlalchemy.text("SET LOCAL synchronous_commit = off"))
    return projection.apply_all(connection, pool, records, carefully=carefully)


def _tell(omissions: Sequence[Omission], pool: str, partition: int) -> None:
    """Count and log what the views do not show, where it lies, and why."""
    if omissions:
        SET_ASIDE.labels(pool).inc(len(omissions))
    for place, (job, offset, reason) in enumerate(omissions):
        if place == LOGGED_MAX:
            log.error("more cannot be shown", pool=pool, number=len(omissions) - LOGGED_MAX)
            return
        what = "a job cannot be shown and is set aside" if job else "an event cannot be shown and is passed over"
        log.error(what, pool=pool, topic=LEDGER, partition=partition, offset=offset, job=job, found=reason)


async def serve(settings: Settings, group: str) -> None:
    """Run until SIGTERM."""
    await wait_for_broker(settings, LEDGER)
    app = make_app(group, settings)
    projector = Projector(settings, app)

    async def project(stream: Any) -> None:
        await in_batches(stream, projector.take, TAKE_RECORDS, REST_S)

    await host(app, LEDGER, project, assigned=projector.assigned, stop=projector.stop, places=projector.places)


if __name__ == "__main__":
    start("projector", serve, GROUP)
