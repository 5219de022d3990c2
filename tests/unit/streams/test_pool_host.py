"""Hosts of pools, whole, on topics in memory: what goes in, what comes out, and what waits."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from prometheus_client import Gauge

from contract.codec import decode_input
from contract.events import InputQuarantined, Opened
from contract.orders import Run
from streams import metrics
from streams.door import jobs_door
from streams.hosting import follower, inbox
from streams.ledger import jobs_reader, opening, pool_metrics
from streams.ledger.outputs import SnapshotReady
from streams.ledger.snapshots import state_of
from tests.unit.streams.led_pools import accepted, is_led, keeper_of, led, setup, shown, submitted
from tests.unit.streams.memory_pool import MemoryBroker, MemoryIO, run
from tests.waiting import until_async, within


def test_a_pool_is_named_opened_and_decided() -> None:
    async def live() -> None:
        broker = MemoryBroker()
        keeper = keeper_of(broker)
        setup(broker)
        broker.say(submitted(1))
        await until_async(lambda: broker.orders, "an order")
        (order,) = broker.orders
        assert isinstance(order, Run)
        assert order.payload is not None
        await keeper.close(with_snapshot=True)
        assert broker.snapshots["main"].offset == len(broker[0].ledger) - 1

    run(live)


def test_an_order_for_which_there_is_no_room_is_lost_and_the_pool_goes_on() -> None:
    """It is sent again when its node misses it; the next host sends it, too."""

    async def live() -> None:
        broker, keeper = await led()
        broker.orders_without_room = 1
        broker.say(submitted(1))
        await until_async(lambda: not broker.orders_without_room, "an order was to be sent")
        broker.say(submitted(2))
        await until_async(lambda: broker.orders, "the next order is sent")
        assert len(broker.events(Opened)) == 1
        await keeper.close(with_snapshot=False)

    run(live)


def test_a_full_pool_waits_for_nobody_and_nobody_for_it() -> None:
    """Review 5.5: the one stream waited for the full pool, even when it was closed."""

    async def live() -> None:
        broker = MemoryBroker()
        keepers = [keeper_of(broker, partition) for partition in (0, 1)]
        for partition in (0, 1):
            setup(broker, partition)
            await until_async(partial(is_led, broker, partition), "the pool is led")
        broker[0].held_appends = []
        count = jobs_reader.UNDECIDED_MAX + 500
        for number in range(count):
            broker.say(submitted(number))
        broker.say(submitted(0, 1), 1)
        await accepted(broker, 1, 1)
        assert keepers[0]._host is not None
        undecided = keepers[0]._host._jobs._undecided
        await until_async(lambda: len(undecided) >= jobs_reader.UNDECIDED_MAX, "the other pool is full")
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(undecided) == jobs_reader.UNDECIDED_MAX
        await within(30, keepers[0].close(with_snapshot=False))
        broker[0].held_appends = None
        keepers[0] = keeper_of(broker)
        await accepted(broker, count)
        for keeper in keepers:
            await keeper.close(with_snapshot=False)

    run(live)


def test_what_is_undecided_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_reader, "UNDECIDED_BYTES_MAX", 10 * jobs_door.SUBMISSION_BYTES)

    async def live() -> None:
        broker, keeper = await led()
        broker[0].held_appends = []
        for number in range(60):
            broker.say(submitted(number))
        assert keeper._host is not None
        undecided = keeper._host._jobs._undecided
        await until_async(lambda: len(undecided) >= 10, "the pool is full")
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(undecided) == 10
        await keeper.close(with_snapshot=False)

    run(live)


def test_what_has_no_room_is_held_back_and_read_again_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: nobody waits until the follower finds out that the partition goes on."""
    monkeypatch.setattr(follower, "STALL_S", 3_600.0)

    async def live() -> None:
        inboxes: list[inbox.Inbox] = []

        def small(*ways: Any) -> inbox.Inbox:
            inboxes.append(inbox.Inbox(*ways, waiting_bytes=5_000, waiting_bytes_max=10_000))
            return inboxes[0]

        monkeypatch.setattr(jobs_reader, "Inbox", small)
        broker, keeper = await led()
        for number in range(60):  # before the pool has its turn on the loop
            broker.say(submitted(number))
            if broker[0].delivered < len(broker[0].jobs):  # fetched before it was held back
                broker[0].delivered += 1
                broker[0].deliver(broker[0].jobs[-1])
        assert broker[0].held
        assert inboxes[0]._bytes <= 10_000
        await accepted(broker, 60)
        assert not broker[0].held
        await keeper.close(with_snapshot=False)

    run(live)


def test_a_pool_that_is_closed_holds_its_partition_back_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its next host would wait for ever: that host holds nothing back, so it releases nothing either."""
    small = partial(inbox.Inbox, waiting_bytes=5_000, waiting_bytes_max=10_000)
    monkeypatch.setattr(jobs_reader, "Inbox", small)

    async def live() -> None:
        broker, first = await led()
        for number in range(60):
            broker.say(submitted(number))
        assert broker[0].held
        await first.close(with_snapshot=False)
        assert not broker[0].held
        second = keeper_of(broker)
        await accepted(broker, 60)
        await second.close(with_snapshot=False)

    run(live)


def test_after_a_rebalance_jobs_is_read_from_its_own_place_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits until the follower finds out that the partition goes on, or until another record comes."""
    monkeypatch.setattr(follower, "STALL_S", 3_600.0)

    async def live() -> None:
        broker, keeper = await led(jobs=1)
        broker[0].held = True
        broker.say(submitted(2))
        broker[0].held, broker[0].delivered = False, len(broker[0].jobs)  # Faust has jumped ahead
        keeper.assigned_again()
        await accepted(broker, 2)
        await keeper.close(with_snapshot=False)

    run(live)


def test_a_record_that_is_no_input_is_set_aside_once_and_the_pool_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def live() -> None:
        broker = MemoryBroker()
        keeper = keeper_of(broker)
        setup(broker)
        bad = broker.say_bytes(b"no JSON")
        unforeseen = broker.say_bytes(b"{}", headers=[("traceparent", None)])
        monkeypatch.setattr(jobs_door, "decode_input", lambda value: [][1] if value == b"{}" else decode_input(value))
        broker.say(submitted(1))
        await accepted(broker, 1)
        assert [(partition, offset) for partition, offset, _ in broker.quarantined] == [(0, bad), (0, unforeseen)]
        assert [event.offset for event in broker.events(InputQuarantined)] == [bad, unforeseen]
        assert "IndexError" in broker.quarantined[1][2]
        assert len(broker.events(Opened)) == 1
        await keeper.close(with_snapshot=False)

    run(live)


def test_a_store_that_is_away_costs_a_longer_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Review 5.12: the scheduler could not start without it."""

    async def live() -> None:
        broker, first = await led(jobs=1)
        await first.close(with_snapshot=True)
        monkeypatch.setattr(opening, "state_of", partial(state_of, patience_s=0.05))
        broker.store_away = True
        second = keeper_of(broker)
        broker.say(submitted(2))
        await accepted(broker, 2)
        await second.close(with_snapshot=False)

    run(live)


def test_a_store_that_is_away_costs_no_fold_where_this_machine_has_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    async def live() -> None:
        broker, first = await led(jobs=1)
        await first.close(with_snapshot=True)
        monkeypatch.setattr(opening, "state_of", partial(state_of, patience_s=0.05))
        broker.store_away, broker.on_disk = True, broker.snapshots
        second = keeper_of(broker)
        await until_async(lambda: broker[0].tails, "the ledger is read")
        assert broker[0].tails[0].first == broker.on_disk["main"].offset
        broker.say(submitted(2))
        await accepted(broker, 2)
        await second.close(with_snapshot=False)

    run(live)


def test_a_store_that_hangs_never_has_two_snapshots_of_a_pool_in_hand() -> None:
    async def live() -> None:
        broker = MemoryBroker()
        broker.store_answers.clear()
        keeper = keeper_of(broker, snapshot_every_ms=1)
        setup(broker)
        for number in range(1, 6):
            broker.say(submitted(number))
            await accepted(broker, number)
        await until_async(lambda: broker.saves, "a snapshot is to be stored")
        for number in range(6, 12):
            broker.say(submitted(number))
            await accepted(broker, number)
        assert broker.saves == 1
        broker.store_answers.set()
        await until_async(lambda: broker.saves > 1, "the next one follows when the store has answered")
        await keeper.close(with_snapshot=False)

    run(live)


def test_a_stop_waits_for_its_own_snapshot_and_not_for_one_that_was_being_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def live() -> None:
        broker = MemoryBroker()
        answers = [asyncio.Event(), asyncio.Event()]

        async def save(io: MemoryIO, pool: str, ready: SnapshotReady) -> str:
            broker.saves += 1
            await answers[broker.saves - 1].wait()
            broker.snapshots[pool] = ready
            return "a key"

        monkeypatch.setattr(MemoryIO, "save_snapshot", save)
        keeper = keeper_of(broker, snapshot_every_ms=1)
        setup(broker)
        await until_async(lambda: broker.saves, "a snapshot is to be stored")
        broker.say(submitted(1))
        await accepted(broker, 1)
        closing = asyncio.create_task(keeper.close(with_snapshot=True))
        await until_async(lambda: broker.saves == 2, "the last one is to be stored")
        answers[0].set()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not closing.done()
        answers[1].set()
        await closing
        assert broker.snapshots["main"].offset == len(broker[0].ledger) - 1

    run(live)


def test_the_gauges_of_a_pool_that_was_taken_away_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def live() -> None:
        monkeypatch.setattr(pool_metrics, "GAUGES_EVERY_S", 0)
        _, keeper = await led(jobs=1)
        await until_async(lambda: shown("headrace_jobs_queued", "main"), "gauges are shown")
        gauges = [found for found in vars(metrics).values() if isinstance(found, Gauge) and "pool" in found._labelnames]
        for gauge in set(gauges) - {metrics.RESTING, metrics.RESTING_OFFSET}:  # which show a pool that has ended
            gauge.labels(*("main" if name == "pool" else "other" for name in gauge._labelnames)).set(1)
        await keeper.close(with_snapshot=False)
        assert [gauge for gauge in gauges if shown(gauge._name, "main")] == []

    run(live)


def test_a_tombstone_is_read_past_at_once() -> None:
    """Review 5.22: ticks stopped until the next record came."""

    async def live() -> None:
        broker = MemoryBroker()
        keeper = keeper_of(broker)
        setup(broker)
        await until_async(lambda: broker.batches()[-1:] and broker.batches()[-1].caught_up, "a batch has caught up")
        broker[0].held = True
        tombstone = broker.say_bytes(None)
        keeper.assigned_again()
        asked = broker.asked
        await until_async(lambda: broker.asked > asked, "it is asked where `jobs` ends: behind the tombstone")
        broker[0].held = False
        broker.flow(0)
        await until_async(lambda: broker.batches()[-1].position == tombstone + 1, "the next batch has caught up")
        assert broker.batches()[-1].caught_up
        await keeper.close(with_snapshot=False)

    run(live)
