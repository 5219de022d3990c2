"""What the host of a pool asks of the broker and of the object store. Nothing here decides or remembers anything."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from contract.batch import hash_of
from contract.seals import SnapshotSeals
from contract.topics import JOBS, LEDGER
from runtime.kafka import OnDelivery, Producer, Record, RecordHeaders, Watermarks, offsets, read_one, read_range
from runtime.object_store import ObjectStore
from runtime.settings import Settings
from scheduling.state.pool import State
from streams.door.quarantine import set_aside
from streams.hosting.follower import Follower
from streams.ledger import snapshots
from streams.ledger.disk_snapshots import DiskSnapshots
from streams.ledger.outputs import SnapshotReady
from streams.ledger.pools import pool_in_ledger
from streams.ledger.tail import LedgerTail

Seek = Callable[[str, int, int], Awaitable[None]]
"""seek(topic, partition, offset): Faust delivers that record next."""
HoldBack = Callable[[str, int, bool], None]
"""hold_back(topic, partition, held): Faust fetches nothing of that partition, or fetches it again."""


class PoolIO:
    """The I/O of one partition. Coroutines wait for a thread or for the broker's ack; the other methods do not wait."""

    def __init__(
        self,
        settings: Settings,
        partition: int,
        *,
        producer: Producer,
        orders: Producer,
        store: ObjectStore,
        disk: DiskSnapshots,
        seals: SnapshotSeals,
        watermarks: Watermarks,
        seek: Seek,
        hold_back: HoldBack,
    ) -> None:
        self.partition = partition
        self.orders = orders
        self._kafka, self._settings = settings.brokers, settings
        self._producer, self._store, self._watermarks = producer, store, watermarks
        self._disk, self._seals, self._seek, self._hold_back = disk, seals, seek, hold_back

    async def pool_in_ledger(self) -> str | None:
        """The pool whose ledger lies in this partition; None while it is empty."""
        return await asyncio.to_thread(pool_in_ledger, self._settings, self.partition)

    async def newest_snapshot(self, pool: str) -> State | None:
        return await asyncio.to_thread(snapshots.newest_stored, self._store, self._seals, pool)

    async def newest_on_disk(self, pool: str) -> State | None:
        """The newest snapshot on this machine that follows a record of this ledger."""
        return await asyncio.to_thread(
            snapshots.newest_on_disk, self._disk, self._seals, pool, self._follows_our_ledger
        )

    async def save_snapshot(self, pool: str, ready: SnapshotReady) -> str:
        """Store the snapshot here and in the object store, and return its key there. StoreFault."""
        written = (self._seals, pool, ready.offset, ready.now_ms, ready.data)
        await asyncio.to_thread(snapshots.save_on_disk, self._disk, *written)
        return await asyncio.to_thread(snapshots.save, self._store, *written)

    def _follows_our_ledger(self, state: State) -> bool:
        """The disk may have served another installation, or a ledger that is gone."""
        record = read_one(self._kafka, LEDGER, self.partition, state.head_offset)
        return record is not None and record.value is not None and hash_of(record.value) == state.head_hash

    async def ledger_end(self) -> int:
        """The offset behind the ledger's last record. Also tells the producer of the partition, which may be newer."""
        await asyncio.to_thread(self._producer.learn, LEDGER)
        _, end = await asyncio.to_thread(offsets, self._kafka, LEDGER, self.partition)
        return end

    async def has_ledger(self, start: int, end: int) -> bool:
        """Whether the ledger holds a record from offset `start` up to `end`."""
        return await asyncio.to_thread(self._has_ledger, start, end)

    def _has_ledger(self, start: int, end: int) -> bool:
        return next(read_range(self._kafka, LEDGER, self.partition, start, end), None) is not None

    async def jobs_end(self) -> int:
        """The offset behind everything that has reached `jobs` by now."""
        return await asyncio.to_thread(self._watermarks.end_of_all_written, JOBS, self.partition)

    async def record_of_jobs(self, offset: int) -> Record | None:
        """The record at `offset`; None when `jobs` holds it no more."""
        return await asyncio.to_thread(read_one, self._kafka, JOBS, self.partition, offset)

    async def set_aside(self, source: str, record: Record, reason: str) -> None:
        """Copy a record of `jobs` to `quarantine`. DeliveryUnclear when the broker does not take it."""
        await set_aside(self._producer, source, JOBS, self.partition, record.offset, reason, record.value)

    def read_ledger(
        self,
        start: int,
        on_records: Callable[[Sequence[Record]], None],
        on_failure: Callable[[Exception], None],
    ) -> LedgerTail:
        return LedgerTail(self._kafka, self.partition, start, on_records=on_records, on_failure=on_failure)

    def append(self, record: bytes, headers: RecordHeaders, on_delivery: OnDelivery) -> None:
        """Append to the ledger. `on_delivery` hears on another thread what became of the record. DeliveryUnclear when
        the producer knows at once that nobody can tell."""
        self._producer.offer(LEDGER, record, headers=headers, partition=self.partition, on_delivery=on_delivery)

    def follow_jobs(self, position: int, on_gap: Callable[[int], None], has_more: Callable[[], bool]) -> Follower:
        """Have `jobs` delivered from `position` on. `on_gap(offset)` hears that no record is left before `offset`;
        `has_more()` says whether delivered records wait to be judged."""
        return Follower(
            JOBS,
            self.partition,
            position,
            watermarks=self._watermarks,
            seek=self._seek,
            on_gap=on_gap,
            has_more=has_more,
        )

    def hold_back(self) -> None:
        """Fetch nothing of `jobs` for this pool until `release`."""
        self._hold_back(JOBS, self.partition, True)

    def release(self) -> None:
        self._hold_back(JOBS, self.partition, False)
