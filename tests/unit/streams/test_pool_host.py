"""Hosts of pools, whole, on topics in memory: whatever goes wrong in one of them ends that pool's host, and no more."""

from __future__ import annotations

import ast
import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from contract.codec import decode_batch
from contract.events import InputQuarantined, JobAccepted, JobDispatched, Opened
from contract.orders import Run
from scheduling.state import State
from streams import dispatching, inbox, jobs_door, jobs_reader, payloads, pool_host, pool_metrics
from streams import writer as writers
from tests.unit.streams.memory_pool import MemoryBroker, eventually, keeper_of, run, setup, submitted
from tests.waiting import within


class Struck(Exception):
    """What the tests have a part raise."""


def once(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, after: bool = False) -> list[str]:
    """Have it raise the next time that it is called, before or after it did its work. Tells when it has."""
    real = getattr(owner, name)
    raised: list[str] = []

    def strike(*given: Any, **named: Any) -> Any:
        if raised:
            return real(*given, **named)
        raised.append(name)
        if after:
            real(*given, **named)
        raise Struck

    monkeypatch.setattr(owner, name, strike)
    return raised


def sessions(broker: MemoryBroker, partition: int = 0) -> list[str]:
    """By which host each ledger record was written."""
    return [dict(record.headers)["ce_source"].decode() for record in broker[partition].ledger]


def reopened(pool: str) -> float:
    return REGISTRY.get_sample_value("headrace_pool_reopened_total", {"pool": pool}) or 0.0


def shown(name: str, pool: str) -> list[Any]:
    return [s for m in REGISTRY.collect() for s in m.samples if s.name == name and s.labels.get("pool") == pool]


async def accepted(broker: MemoryBroker, count: int, partition: int = 0) -> None:
    await eventually(lambda: len(broker.events(JobAccepted, partition)) == count, f"{count} jobs are accepted")


def test_a_pool_is_named_opened_and_decided() -> None:
    async def live() -> None:
        broker = MemoryBroker()
        keeper = keeper_of(broker)
        setup(broker)
        broker.say(submitted(1))
        await eventually(lambda: broker.orders, "an order")
        (order,) = broker.orders
        assert isinstance(order, Run)
        assert order.payload is not None
        await keeper.close(with_snapshot=True)
        assert broker.snapshots["main"].offset == len(broker[0].ledger) - 1

    run(live)


def test_an_exception_in_decide_ends_the_host_and_damages_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Review 5.1: asyncio logged it, and the next batch left a gap in `seq` for ever."""

    async def live() -> None:
        broker = MemoryBroker()
        keeper = keeper_of(broker)
        setup(broker)
        broker.say(submitted(1))
        await accepted(broker, 1)
        before, first = reopened("main"), set(sessions(broker))
        raised = once(monkeypatch, writers, "decide", after=True)
        broker.say(submitted(2))
        await eventually(lambda: raised, "decide raises")
        records = len(broker[0].ledger)
        await accepted(broker, 2)
        assert first.isdisjoint(sessions(broker)[records:]), "the host that raised wrote nothing more"
        assert len(broker.events(Opened)) == 2
        assert reopened("main") == before + 1
        broker.say(submitted(3))
        await accepted(broker, 3)
        await keeper.close(with_snapshot=False)

    run(live)


ENTRIES: dict[str, tuple[Any, str]] = {
    "a batch": (writers.LedgerWriter, "step"),
    "a record of the ledger": (writers.LedgerWriter, "read"),
    "an acknowledgement": (writers.LedgerWriter, "acked"),
    "an input": (writers.LedgerWriter, "receive"),
    "the end of jobs": (writers.LedgerWriter, "jobs_end"),
    "a timer": (writers.LedgerWriter, "due_ms"),
    "orders": (dispatching.Dispatching, "send"),
    "payloads": (payloads.PayloadCache, "settle"),
    "metrics": (pool_metrics.PoolMetrics, "acked"),
    "headers": (pool_host, "headers_for"),
    "the door": (jobs_door, "read"),
    "the inbox": (inbox.Inbox, "put"),
    "what is undecided": (jobs_reader.JobsReader, "gave"),
    "the opening": (pool_host, "state_of"),
    "the host itself": (pool_host, "Dispatching"),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_whatever_raises_in_a_host_the_pool_is_opened_anew(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    async def live() -> None:
        broker = MemoryBroker()
        raised = once(monkeypatch, *ENTRIES[entry])
        keeper = keeper_of(broker)
        setup(broker)
        broker.say(submitted(1))
        await accepted(broker, 1)
        broker.say(submitted(2))
        await accepted(broker, 2)
        await eventually(lambda: raised, "it raises")
        await eventually(lambda: len(broker.events(JobDispatched)) == 2, "both are dispatched")
        await keeper.close(with_snapshot=False)

    run(live)


def test_what_becomes_of_an_append_of_the_host_before_reaches_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record is in the ledger, or not: the chain decides, not a late report."""

    async def live() -> None:
        broker = MemoryBroker()
        keeper = keeper_of(broker)
        setup(broker)
        await eventually(lambda: len(broker.batches()) > 1, "the pool is led")
        broker[0].held_appends = in_flight = []
        broker.say(submitted(1))
        await eventually(lambda: in_flight, "a batch is in flight")
        raised = once(monkeypatch, inbox.Inbox, "put")
        broker.say(submitted(2))
        await eventually(lambda: raised, "the host ends")
        await eventually(lambda: len(in_flight) == 2, "its successor appends too")
        outcomes: list[Any] = []
        for name in ("acked", "unclear"):
            heard = getattr(writers.LedgerWriter, name)
            monkeypatch.setattr(
                writers.LedgerWriter, name, lambda *given, heard=heard: outcomes.append(given) or heard(*given)
            )
        late, opened = in_flight
        broker[0].held_appends = None
        opened()
        late()
        await accepted(broker, 2)
        first = decode_batch(broker[0].ledger[outcomes[0][1]].value)
        assert isinstance(first.events[0], Opened), "the first report is that of Opened"
        await keeper.close(with_snapshot=False)

    run(live)


def test_a_full_pool_waits_for_nobody_and_nobody_for_it() -> None:
    """Review 5.5: the one stream waited for the full pool, even when it was closed."""

    async def live() -> None:
        broker = MemoryBroker()
        keepers = [keeper_of(broker, partition) for partition in (0, 1)]
        for partition in (0, 1):
            setup(broker, partition)
            await eventually(lambda p=partition: len(broker.batches(p)) > 1, "the pool is led")  # type: ignore[misc]
        broker[0].held_appends = []
        count = jobs_reader.UNDECIDED_MAX + 500
        for number in range(count):
            broker.say(submitted(number))
        broker.say(submitted(0, 1), 1)
        await accepted(broker, 1, 1)
        assert keepers[0]._host is not None
        undecided = keepers[0]._host._jobs._undecided
        await eventually(lambda: len(undecided) >= jobs_reader.UNDECIDED_MAX, "the other pool is full")
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


def test_what_has_no_room_is_held_back_and_read_again_and_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def live() -> None:
        inboxes: list[inbox.Inbox] = []

        def small(*ways: Any) -> inbox.Inbox:
            inboxes.append(inbox.Inbox(*ways, waiting_bytes=5_000, waiting_bytes_max=10_000))
            return inboxes[0]

        monkeypatch.setattr(jobs_reader, "Inbox", small)
        broker = MemoryBroker()
        keeper = keeper_of(broker)
        setup(broker)
        await eventually(lambda: len(broker.batches()) > 1, "the pool is led")
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


def test_after_an_unclear_delivery_the_ledger_says_what_happened() -> None:
    async def live() -> None:
        broker = MemoryBroker()
        keeper = keeper_of(broker)
        setup(broker)
        await eventually(lambda: len(broker.batches()) > 1, "the pool is led")
        before = reopened("main")
        broker[0].unclear = 1
        broker.say(submitted(1))
        await accepted(broker, 1)
        await eventually(lambda: len(broker.events(Opened)) == 2, "the pool is opened anew")
        broker.say(submitted(2))
        await accepted(broker, 2)
        assert reopened("main") == before + 1
        await keeper.close(with_snapshot=False)

    run(live)


def test_of_two_schedulers_one_leaves_the_pool_alone_until_it_is_assigned_anew() -> None:
    async def live() -> None:
        broker = MemoryBroker()
        old = keeper_of(broker)
        setup(broker)
        await eventually(lambda: len(broker.batches()) > 1, "the pool is led")
        new = keeper_of(broker)
        broker.say(submitted(1))
        await accepted(broker, 1)
        await eventually(lambda: shown("headrace_pool_resting", "main"), "the old one rests")
        (undecided,) = shown("headrace_pool_resting_jobs_offset", "main")
        assert (undecided.labels["partition"], undecided.value) == ("0", len(broker[0].jobs) - 1)
        records = len(broker[0].ledger)
        assert len(set(sessions(broker))) == 2
        await new.close(with_snapshot=False)
        broker[0].deliver = old.offer
        old.assigned_again()
        broker.say(submitted(2))
        await accepted(broker, 2)
        assert len(set(sessions(broker)[records:])) == 1
        assert shown("headrace_pool_resting", "main") == shown("headrace_pool_resting_jobs_offset", "main") == []
        await old.close(with_snapshot=False)

    run(live)


def test_a_damaged_ledger_keeps_its_pool_down_and_is_said_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    async def live() -> None:
        broker = MemoryBroker()
        keeper = keeper_of(broker, rest_s=0.0, rest_max_s=0.05)
        setup(broker)
        await eventually(lambda: len(broker.batches()) > 1, "the pool is led")
        before = reopened("main")
        broker[0].ledger.append(broker[0].ledger[0]._replace(offset=len(broker[0].ledger), value=b"no batch"))
        for tail in broker[0].tails:
            tail.more()
        await eventually(lambda: reopened("main") == before + 2, "it was tried again twice")
        records = len(broker[0].ledger)
        await keeper.close(with_snapshot=False)
        assert len(broker[0].ledger) == records

    run(live)
    said = [line for line in capsys.readouterr().out.splitlines() if "the ledger is damaged" in line]
    assert len(said) >= 2
    assert all("opened_anew_after_s=0.05" in line for line in said)


def test_rests_grow_while_a_pool_goes_on_ending(capsys: pytest.CaptureFixture[str]) -> None:
    async def live() -> None:
        broker = MemoryBroker()
        broker.broker_away = True
        before = reopened("partition 0")
        keeper = keeper_of(broker, rest_s=0.05, rest_max_s=0.2)
        await eventually(lambda: reopened("partition 0") == before + 4, "it was tried again")
        broker.broker_away = False
        setup(broker)
        await eventually(lambda: len(broker.batches()) > 1, "the pool is led")
        await keeper.close(with_snapshot=False)

    run(live)
    rests = [
        line.split("opened_anew_after_s=")[1].split()[0]
        for line in capsys.readouterr().out.splitlines()
        if "opened_anew" in line
    ]
    assert rests[:4] == ["0.05", "0.1", "0.2", "0.2"]


def test_a_host_that_has_ended_lets_go_of_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the collector of cycles, from which the state is frozen."""

    def states() -> int:
        gc.unfreeze()
        return sum(type(found) is State for found in gc.get_objects())

    async def live() -> None:
        broker = MemoryBroker()
        gc.unfreeze()  # what hosts of other tests froze
        gc.collect()
        gc.disable()
        try:
            before = states()
            keeper = keeper_of(broker, rest_s=30)
            setup(broker)
            broker.say(submitted(1))
            await accepted(broker, 1)
            assert states() == before + 1
            raised = once(monkeypatch, inbox.Inbox, "put")
            broker.say(submitted(2))
            assert raised
            for _ in range(3):
                await asyncio.sleep(0)
            assert states() == before
            await keeper.close(with_snapshot=False)
        finally:
            gc.enable()

    run(live)


def test_a_record_that_is_no_input_is_set_aside_once_and_the_pool_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def live() -> None:
        broker = MemoryBroker()
        keeper = keeper_of(broker)
        setup(broker)
        bad = broker.say_bytes(b"no JSON")
        unforeseen = broker.say_bytes(b"{}", headers=[("traceparent", None)])  # type: ignore[list-item]
        monkeypatch.setattr(
            jobs_door,
            "decode_input",
            lambda value, real=jobs_door.decode_input: [][1] if value == b"{}" else real(value),
        )
        broker.say(submitted(1))
        await accepted(broker, 1)
        assert [(partition, offset) for partition, offset, _ in broker.quarantined] == [(0, bad), (0, unforeseen)]
        assert [event.offset for event in broker.events(InputQuarantined)] == [bad, unforeseen]
        assert "IndexError" in broker.quarantined[1][2]
        assert len(broker.events(Opened)) == 1
        await keeper.close(with_snapshot=False)

    run(live)


def test_without_quarantine_the_pool_waits_and_nothing_says_that_it_is_there() -> None:
    async def live() -> None:
        broker = MemoryBroker()
        keeper = keeper_of(broker)
        setup(broker)
        await eventually(lambda: len(broker.batches()) > 1, "the pool is led")
        before = reopened("main")
        broker.quarantine_away = True
        bad = broker.say_bytes(b"no JSON")
        await eventually(lambda: reopened("main") == before + 2, "it was tried again twice")
        assert broker.events(InputQuarantined) == []
        broker.quarantine_away = False
        await eventually(lambda: broker.events(InputQuarantined), "the record is read past")
        assert [offset for _, offset, _ in broker.quarantined] == [bad]
        await keeper.close(with_snapshot=False)

    run(live)


def test_a_store_that_is_away_costs_a_longer_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Review 5.12: the scheduler could not start without it."""

    async def live() -> None:
        broker = MemoryBroker()
        first = keeper_of(broker)
        setup(broker)
        broker.say(submitted(1))
        await accepted(broker, 1)
        await first.close(with_snapshot=True)
        real = pool_host.state_of
        monkeypatch.setattr(pool_host, "state_of", lambda pool, ask: real(pool, ask, patience_s=0.05))
        broker.store_away = True
        second = keeper_of(broker)
        broker.say(submitted(2))
        await accepted(broker, 2)
        await second.close(with_snapshot=False)

    run(live)


def test_the_gauges_of_a_pool_that_was_taken_away_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def live() -> None:
        monkeypatch.setattr(pool_metrics, "GAUGES_EVERY_S", 0)
        broker = MemoryBroker()
        keeper = keeper_of(broker)
        setup(broker)
        broker.say(submitted(1))
        await accepted(broker, 1)
        await eventually(lambda: shown("headrace_jobs_queued", "main"), "gauges are shown")
        await keeper.close(with_snapshot=False)
        for gauge in ("headrace_jobs_queued", "headrace_attempts_staged", "headrace_pool_resting"):
            assert shown(gauge, "main") == []

    run(live)


def test_a_tombstone_is_read_past_at_once() -> None:
    """Review 5.22: ticks stopped until the next record came."""

    async def live() -> None:
        broker = MemoryBroker()
        keeper = keeper_of(broker)
        setup(broker)
        await eventually(lambda: broker.batches()[-1:] and broker.batches()[-1].caught_up, "a batch has caught up")
        broker[0].held = True
        tombstone = broker.say_bytes(None)
        keeper.assigned_again()
        asked = broker.asked
        await eventually(lambda: broker.asked > asked, "it is asked where `jobs` ends: behind the tombstone")
        broker[0].held = False
        broker.flow(0)
        await eventually(lambda: broker.batches()[-1].position == tombstone + 1, "the next batch has caught up")
        assert broker.batches()[-1].caught_up
        await keeper.close(with_snapshot=False)

    run(live)


def test_nothing_leads_from_the_loop_into_a_host_but_its_guard() -> None:
    """What asyncio calls by itself is raised to nobody."""
    around = {"call_soon", "call_soon_threadsafe", "call_later", "call_at", "create_task", "ensure_future", "gather"}
    for module in (pool_host, jobs_reader, inbox):
        tree = ast.parse(Path(module.__file__ or "").read_text())
        assert {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & around == set()


def test_a_host_that_does_not_end_well_has_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async def live() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        broker = MemoryBroker()
        keeper = keeper_of(broker)
        setup(broker)
        await eventually(lambda: len(broker.batches()) > 1, "the pool is led")
        letting_go = once(monkeypatch, pool_metrics.PoolMetrics, "close")
        once(monkeypatch, writers, "decide")
        broker.say(submitted(1))
        await accepted(broker, 1)
        assert letting_go
        assert len(broker.events(Opened)) == 2
        closing = once(monkeypatch, pool_metrics.PoolMetrics, "close")
        await keeper.close(with_snapshot=False)
        assert closing

    run(live)
