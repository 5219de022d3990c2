"""What a pool's host asks of broker and store, on the twin: answers, refusals, and what it waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException

from contract.batch import hash_of
from contract.codec import decode_quarantined
from contract.seals import SnapshotSeals
from contract.topics import JOBS, LEDGER, QUARANTINE
from runtime.kafka import Delivery, DeliveryUnclear, Producer, Record, Watermarks
from runtime.object_store import StoreAway
from scheduling import snapshot
from scheduling.state.pool import initial_state
from streams.ledger.disk_snapshots import DiskSnapshots
from streams.ledger.outputs import SnapshotReady
from streams.ledger.pool_io import PoolIO
from tests.twin.faults import Fate
from tests.twin.installation import POOLS, Installation
from tests.twin.log import Kind
from tests.twin.signing import KEY

PARTITION = 1


class Bench:
    """The I/O of one partition, and who it talks to."""

    def __init__(self, here: Installation) -> None:
        self.here, self.kafka = here, here.kafka
        self.sought: list[tuple[str, int, int]] = []
        self.held: list[tuple[str, int, bool]] = []
        self.producer = Producer(here.kafka.brokers, "ledger", delivery_timeout_ms=10_000)
        self.io = self.with_disk(DiskSnapshots(None))

    def with_disk(self, disk: DiskSnapshots) -> PoolIO:
        here = self.here
        return PoolIO(
            here.settings,
            PARTITION,
            producer=self.producer,
            orders=Producer(here.kafka.brokers, "orders", in_bursts=True),
            store=here.store,
            disk=disk,
            seals=SnapshotSeals([KEY]),
            watermarks=Watermarks(here.kafka.brokers),
            seek=self._seek,
            hold_back=lambda *held: self.held.append(held),
        )

    async def _seek(self, topic: str, partition: int, offset: int) -> None:
        self.sought.append((topic, partition, offset))

    def write(self, topic: str, value: bytes | None, **more: Any) -> int:
        return self.kafka.write(topic, value, partition=PARTITION, **more)


def on_a_bench(test: Callable[[Bench], Awaitable[None]]) -> None:
    with Installation() as here:

        async def live() -> None:
            await test(Bench(here))

        here.run(live)


def test_the_pool_is_named_by_the_first_batch_of_its_ledger() -> None:
    async def test(bench: Bench) -> None:
        assert await bench.io.pool_in_ledger() is None
        bench.write(LEDGER, b"no batch")
        assert await bench.io.pool_in_ledger() is None
        bench.here.setup()
        program = bench.here.scheduler()
        await bench.here.until(lambda: bench.here.batches(PARTITION - 1))
        await program.stop()
        bench.write(LEDGER, bench.kafka.records(LEDGER, PARTITION - 1)[0].value)
        assert await bench.io.pool_in_ledger() == POOLS[PARTITION - 1]

    on_a_bench(test)


def test_ends_count_what_can_be_read_and_what_was_written() -> None:
    async def test(bench: Bench) -> None:
        assert (await bench.io.ledger_end(), await bench.io.jobs_end()) == (0, 0)
        bench.write(JOBS, b"{}")
        bench.write(JOBS, b"open", transaction="foreign")
        bench.write(LEDGER, b"{}")
        assert (await bench.io.ledger_end(), await bench.io.jobs_end()) == (1, 2)
        bench.kafka.log(JOBS, PARTITION).finish(0, "foreign", Kind.ABORT)
        assert await bench.io.jobs_end() == 3
        assert [await bench.io.record_of_jobs(offset) is not None for offset in range(4)] == [True, False, False, False]

    on_a_bench(test)


def test_questions_to_a_broker_that_is_away_fail() -> None:
    async def test(bench: Bench) -> None:
        bench.kafka.go_away()
        for ask in (bench.io.pool_in_ledger, bench.io.ledger_end, bench.io.jobs_end):
            with pytest.raises(KafkaException):
                await ask()

    on_a_bench(test)


def test_what_becomes_of_an_append_is_heard_once() -> None:
    async def test(bench: Bench) -> None:
        heard: list[Delivery | Exception] = []
        bench.kafka.faults.next_fates(LEDGER, Fate.WRITTEN, Fate.UNCONFIRMED)
        for value in (b"a", b"b"):
            bench.io.append(value, [("ce_id", value)], heard.append)
        await asyncio.sleep(1)
        assert [type(outcome) for outcome in heard] == [Delivery, DeliveryUnclear]
        assert [(r.value, r.headers) for r in bench.kafka.records(LEDGER, PARTITION)] == [
            (b"a", [("ce_id", b"a")]),
            (b"b", [("ce_id", b"b")]),
        ]

    on_a_bench(test)


def test_a_record_is_set_aside_with_its_place_and_an_unclear_one_is_said() -> None:
    async def test(bench: Bench) -> None:
        record = Record(JOBS, PARTITION, bench.write(JOBS, b"?" * 100_000), 0, b"k", b"?" * 100_000, [])
        await bench.io.set_aside("headrace/scheduler/other/s", record, "expected a record of `jobs`")
        (kept,) = bench.kafka.records(QUARANTINE)
        found = decode_quarantined(kept.value or b"")
        assert (found.topic, found.partition, found.offset, found.reason) == (
            JOBS,
            PARTITION,
            0,
            "expected a record of `jobs`",
        )
        bench.kafka.faults.next_fates(QUARANTINE, Fate.LOST)
        with pytest.raises(DeliveryUnclear):
            await bench.io.set_aside("headrace/scheduler/other/s", record, "again")

    on_a_bench(test)


def test_the_newest_snapshot_is_found_and_a_store_that_is_away_is_said() -> None:
    async def test(bench: Bench) -> None:
        pool = POOLS[PARTITION]
        assert await bench.io.newest_snapshot(pool) is None
        state = initial_state(pool)
        ready = SnapshotReady(snapshot.encode(state), 7, "hash", 1_700_000_000_000)
        key = await bench.io.save_snapshot(pool, ready)
        assert key in bench.here.store.objects
        found = await bench.io.newest_snapshot(pool)
        assert found is not None
        assert snapshot.state_hash(found) == snapshot.state_hash(state)
        bench.here.store.faults.away = True
        with pytest.raises(StoreAway):
            await bench.io.newest_snapshot(pool)

    on_a_bench(test)


@pytest.mark.parametrize(
    ("offset", "record", "is_taken"),
    [(1, b"1", True), (1, b"another", False), (0, b"1", False), (7, b"1", False)],
    ids=["it fits", "another record", "another place", "beyond the end"],
)
def test_a_snapshot_of_this_disk_is_taken_only_where_the_ledger_has_the_record_that_it_follows(
    tmp_path: Path, offset: int, record: bytes, *, is_taken: bool
) -> None:
    """The disk may have served another installation."""

    async def test(bench: Bench) -> None:
        for value in (b"0", b"1", b"2"):
            bench.write(LEDGER, value)
        bench.here.store.faults.away = True
        pool = POOLS[PARTITION]
        state = initial_state(pool)
        state.head_offset, state.head_hash = offset, hash_of(record)
        io = bench.with_disk(DiskSnapshots(tmp_path))
        with pytest.raises(StoreAway):
            await io.save_snapshot(pool, SnapshotReady(snapshot.encode(state), offset, "hash", 1_700_000_000_000))
        found = await io.newest_on_disk(pool)
        assert (found is not None) is is_taken

    on_a_bench(test)


def test_the_ledger_is_read_from_where_it_is_asked_and_goes_on() -> None:
    async def test(bench: Bench) -> None:
        for value in (b"0", b"1", b"2"):
            bench.write(LEDGER, value)
        read: list[bytes | None] = []
        failures: list[Exception] = []
        tail = bench.io.read_ledger(1, lambda records: read.extend(r.value for r in records), failures.append)
        await asyncio.sleep(1)
        bench.write(LEDGER, b"3")
        await asyncio.sleep(1)
        assert (read, failures) == ([b"1", b"2", b"3"], [])
        tail.close()
        bench.write(LEDGER, b"4")
        await asyncio.sleep(1)
        assert read == [b"1", b"2", b"3"]
        bench.io.read_ledger(99, lambda records: None, failures.append)
        await asyncio.sleep(1)
        assert [type(failure).__name__ for failure in failures] == ["OffsetGone"]

    on_a_bench(test)


def test_jobs_are_followed_and_held_back_by_partition() -> None:
    async def test(bench: Bench) -> None:
        follower = bench.io.follow_jobs(5, lambda offset: None, lambda: False)
        await asyncio.sleep(0.1)
        assert bench.sought == [(JOBS, PARTITION, 5)]
        bench.io.hold_back()
        bench.io.release()
        assert bench.held == [(JOBS, PARTITION, True), (JOBS, PARTITION, False)]
        follower.close()

    on_a_bench(test)
