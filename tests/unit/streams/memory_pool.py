"""Topics and an object store in memory, and what streams.ledger.pool_io asks of them: hosts run whole, without Kafka.

Appends are acknowledged at once unless a test holds them; a delivery goes to whoever a test names, as Faust's does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

from contract.batch import Batch
from contract.chain import Chain, Counted
from contract.codec import decode_batch, decode_orders, encode
from contract.events import Event
from contract.inputs import Wire
from contract.orders import Order
from contract.policy import Cluster, Policy, Pool, Tier
from contract.topics import JOBS, LEDGER
from runtime.kafka import Delivery, DeliveryUnclear, OnDelivery, Record, RecordHeaders
from scheduling import snapshot
from scheduling.state.pool import State
from streams.hosting.follower import Follower
from streams.hosting.gaps import Gaps
from streams.ledger.outputs import SnapshotReady

POOLS = {0: "main", 1: "other"}
POLICY = Policy(
    tiers={"free": Tier(slo_ms=60_000)},
    pools={name: Pool(partition=partition) for partition, name in POOLS.items()},
    clusters={"local": Cluster(pool="main", limit=100), "east": Cluster(pool="other", limit=100)},
)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


class Partition:
    """One of `jobs` and of `ledger`, and who reads them."""

    def __init__(self) -> None:
        self.jobs: list[Record] = []
        self.ledger: list[Record] = []
        self.tails: list[MemoryTail] = []
        self.delivered = 0
        """Offset of `jobs` that is delivered next."""
        self.held = False
        self.deliver: Callable[[Record], None] = lambda record: None
        self.held_appends: list[Callable[[], None]] | None = None
        """Appends that wait for the test, if it wants them to."""
        self.unclear = 0
        """So many appends are stored and reported as unclear."""


class MemoryBroker:
    def __init__(self) -> None:
        self.partitions: dict[int, Partition] = {}
        self.quarantined: list[tuple[int, int, str]] = []
        """Partition, offset and reason."""
        self.quarantine_away = False
        self.orders: list[Order] = []
        self.orders_without_room = 0
        """So many orders find the producer full."""
        self.snapshots: dict[str, SnapshotReady] = {}
        self.on_disk: dict[str, SnapshotReady] = {}
        self.store_away = False
        self.store_answers = asyncio.Event()
        self.store_answers.set()
        self.saves = 0
        """How many snapshots were to be stored."""
        self.broker_away = False
        self.asked = 0
        """How often somebody asked where `jobs` ends."""

    def __getitem__(self, partition: int) -> Partition:
        return self.partitions.setdefault(partition, Partition())

    # -- what tests say and see

    def say(self, said: Wire, partition: int = 0, key: bytes = b"") -> int:
        return self.say_bytes(encode(said), partition, key or f"key-{len(self[partition].jobs)}".encode())

    def say_bytes(
        self,
        value: bytes | None,
        partition: int = 0,
        key: bytes | None = b"k",
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> int:
        """Write into `jobs` and return the offset. aiokafka gives None for a header without a value."""
        jobs = self[partition].jobs
        given = cast("list[tuple[str, bytes]]", list(headers))
        jobs.append(Record(JOBS, partition, len(jobs), now_ms(), key, value, given))
        self.flow(partition)
        return len(jobs) - 1

    def flow(self, partition: int) -> None:
        """Deliver what there is, unless it is held back."""
        part = self[partition]
        while not part.held and part.delivered < len(part.jobs):
            part.delivered += 1
            part.deliver(part.jobs[part.delivered - 1])

    def batches(self, partition: int = 0) -> list[Batch]:
        """Those that count. Damaged when a reader could not take the ledger."""
        chain = Chain(POOLS[partition])
        offered = [chain.offer(record.offset, record.value or b"") for record in self[partition].ledger]
        return [judged.batch for judged in offered if isinstance(judged, Counted)]

    def events(self, kind: type[Event], partition: int = 0) -> list[Any]:
        return [event for batch in self.batches(partition) for event in batch.events if isinstance(event, kind)]

    # -- what hosts ask

    def append(self, partition: int, value: bytes, headers: RecordHeaders, on_delivery: OnDelivery) -> None:
        part = self[partition]

        def land() -> None:
            record = Record(LEDGER, partition, len(part.ledger), now_ms(), None, value, list(headers))
            part.ledger.append(record)
            for tail in part.tails:
                tail.more()
            if part.unclear:
                part.unclear -= 1
                on_delivery(DeliveryUnclear("in memory"))
            else:
                on_delivery(Delivery(partition, record.offset, record.timestamp_ms))

        if part.held_appends is None:
            asyncio.get_running_loop().call_soon(land)
        else:
            part.held_appends.append(land)

    async def seek(self, topic: str, partition: int, offset: int) -> None:
        self[partition].delivered = offset
        asyncio.get_running_loop().call_soon(self.flow, partition)

    def of(self, topic: str, partition: int) -> tuple[int, int]:
        """As runtime.kafka.Watermarks."""
        return 0, len(self[partition].jobs)


class MemoryTail:
    def __init__(self, part: Partition, start: int, on_records: Callable[[Sequence[Record]], None]) -> None:
        self.first = start
        self._part, self._next, self._on_records = part, start, on_records
        part.tails.append(self)
        self.more()

    def more(self) -> None:
        asyncio.get_running_loop().call_soon(self._deliver)

    def close(self) -> None:
        if self in self._part.tails:
            self._part.tails.remove(self)

    def _deliver(self) -> None:
        if self in self._part.tails and self._next < len(self._part.ledger):
            start, self._next = self._next, len(self._part.ledger)
            self._on_records(self._part.ledger[start:])


class MemoryOrders:
    """As the producer of orders."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    def offer(self, topic: str, value: bytes, **_: Any) -> None:
        if self._broker.orders_without_room:
            self._broker.orders_without_room -= 1
            raise DeliveryUnclear("in memory")
        self._broker.orders += decode_orders(value)


class MemoryIO:
    """As streams.ledger.pool_io.PoolIO."""

    def __init__(self, broker: MemoryBroker, partition: int = 0) -> None:
        self.partition, self.broker, self.orders = partition, broker, MemoryOrders(broker)
        self._part = broker[partition]

    async def pool_in_ledger(self) -> str | None:
        if self.broker.broker_away:
            raise ConnectionError("no broker")
        return decode_batch(self._part.ledger[0].value).pool if self._part.ledger else None

    async def newest_snapshot(self, pool: str) -> State | None:
        if self.broker.store_away:
            raise ConnectionError("no store")
        found = self.broker.snapshots.get(pool)
        return snapshot.decode(found.data) if found else None

    async def newest_on_disk(self, pool: str) -> State | None:
        found = self.broker.on_disk.get(pool)
        return snapshot.decode(found.data) if found else None

    async def save_snapshot(self, pool: str, ready: SnapshotReady) -> str:
        self.broker.saves += 1
        await self.broker.store_answers.wait()
        self.broker.snapshots[pool] = ready
        return pool

    async def ledger_end(self) -> int:
        return len(self._part.ledger)

    async def jobs_end(self) -> int:
        self.broker.asked += 1
        return len(self._part.jobs)

    async def record_of_jobs(self, offset: int) -> Record | None:
        return self._part.jobs[offset]

    async def set_aside(self, source: str, record: Record, reason: str) -> None:
        if self.broker.quarantine_away:
            raise DeliveryUnclear("in memory")
        self.broker.quarantined.append((record.partition, record.offset, reason))

    def read_ledger(self, start: int, on_records: Any, on_failure: Any) -> MemoryTail:
        return MemoryTail(self._part, start, on_records)

    def append(self, record: bytes, headers: RecordHeaders, on_delivery: OnDelivery) -> None:
        self.broker.append(self.partition, record, headers, on_delivery)

    def follow_jobs(self, position: int, on_gap: Callable[[int], None], has_more: Callable[[], bool]) -> Follower:
        broker: Any = self.broker
        return Follower(
            JOBS,
            self.partition,
            position,
            watermarks=broker,
            seek=self.broker.seek,
            on_gap=on_gap,
            gaps=Gaps(),
            has_more=has_more,
        )

    def hold_back(self) -> None:
        self._part.held = True

    def release(self) -> None:
        self._part.held = False
        asyncio.get_running_loop().call_soon(self.broker.flow, self.partition)


def now_ms() -> int:
    return int(time.time() * 1000)
