"""Whatever goes wrong in a host, on topics in memory: that host ends and no more, and its pool is opened anew."""

from __future__ import annotations

import ast
import asyncio
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract.codec import decode_batch
from contract.events import InputQuarantined, JobDispatched, Opened
from scheduling.state.pool import State
from streams.door import jobs_door
from streams.hosting import inbox
from streams.ledger import dispatching, jobs_reader, leading, opening, payloads, pool_host, pool_metrics
from streams.ledger import writer as writers
from tests.unit.streams.led_pools import accepted, keeper_of, led, reopened, sessions, setup, shown, submitted
from tests.unit.streams.memory_pool import MemoryBroker, run
from tests.waiting import until_async


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


def test_an_exception_in_decide_ends_the_host_and_damages_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Review 5.1: asyncio logged it, and the next batch left a gap in `seq` for ever."""

    async def live() -> None:
        broker, keeper = await led(jobs=1)
        before, first = reopened("main"), set(sessions(broker))
        raised = once(monkeypatch, writers, "decide", after=True)
        broker.say(submitted(2))
        await until_async(lambda: raised, "decide raises")
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
    "headers": (leading, "headers_for"),
    "the door": (jobs_door, "read"),
    "the inbox": (inbox.Inbox, "put"),
    "what is undecided": (jobs_reader.JobsReader, "note_undecided"),
    "the opening": (opening, "state_of"),
    "the host itself": (leading, "Dispatching"),
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
        await until_async(lambda: raised, "it raises")
        await until_async(lambda: len(broker.events(JobDispatched)) == 2, "both are dispatched")
        await keeper.close(with_snapshot=False)

    run(live)


def noting(monkeypatch: pytest.MonkeyPatch, name: str, outcomes: list[Any]) -> None:
    """Have the writer's method note with what it was called."""
    real = getattr(writers.LedgerWriter, name)

    def noted(*given: Any) -> Any:
        outcomes.append(given)
        return real(*given)

    monkeypatch.setattr(writers.LedgerWriter, name, noted)


def test_what_becomes_of_an_append_of_the_host_before_reaches_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record is in the ledger, or not: the chain decides, not a late report."""

    async def live() -> None:
        broker, keeper = await led()
        in_flight: list[Callable[[], None]] = []
        broker[0].held_appends = in_flight
        broker.say(submitted(1))
        await until_async(lambda: in_flight, "a batch is in flight")
        raised = once(monkeypatch, inbox.Inbox, "put")
        broker.say(submitted(2))
        await until_async(lambda: raised, "the host ends")
        await until_async(lambda: len(in_flight) == 2, "its successor appends too")
        outcomes: list[Any] = []
        for name in ("acked", "unclear"):
            noting(monkeypatch, name, outcomes)
        late, opened = in_flight
        broker[0].held_appends = None
        opened()
        late()
        await accepted(broker, 2)
        first = decode_batch(broker[0].ledger[outcomes[0][1]].value)
        assert isinstance(first.events[0], Opened), "the first report is that of Opened"
        await keeper.close(with_snapshot=False)

    run(live)


def test_after_an_unclear_delivery_the_ledger_says_what_happened() -> None:
    async def live() -> None:
        broker, keeper = await led()
        before = reopened("main")
        broker[0].unclear = 1
        broker.say(submitted(1))
        await accepted(broker, 1)
        await until_async(lambda: len(broker.events(Opened)) == 2, "the pool is opened anew")
        broker.say(submitted(2))
        await accepted(broker, 2)
        assert reopened("main") == before + 1
        await keeper.close(with_snapshot=False)

    run(live)


def test_of_two_schedulers_one_leaves_the_pool_alone_until_it_is_assigned_anew() -> None:
    async def live() -> None:
        broker, old = await led()
        new = keeper_of(broker)
        broker.say(submitted(1))
        await accepted(broker, 1)
        await until_async(lambda: shown("headrace_pool_resting", "main"), "the old one rests")
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
        broker, keeper = await led(rest_s=0.0, rest_max_s=0.05)
        before = reopened("main")
        broker[0].ledger.append(broker[0].ledger[0]._replace(offset=len(broker[0].ledger), value=b"no batch"))
        for tail in broker[0].tails:
            tail.more()
        await until_async(lambda: reopened("main") >= before + 2, "it was tried again twice")
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
        await until_async(lambda: reopened("partition 0") == before + 4, "it was tried again")
        broker.broker_away = False
        setup(broker)
        await until_async(lambda: len(broker.batches()) > 1, "the pool is led")
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


def test_without_quarantine_the_pool_waits_and_nothing_says_that_it_is_there() -> None:
    async def live() -> None:
        broker, keeper = await led()
        before = reopened("main")
        broker.quarantine_away = True
        bad = broker.say_bytes(b"no JSON")
        await until_async(lambda: reopened("main") >= before + 2, "it was tried again twice")
        assert broker.events(InputQuarantined) == []
        broker.quarantine_away = False
        await until_async(lambda: broker.events(InputQuarantined), "the record is read past")
        assert [offset for _, offset, _ in broker.quarantined] == [bad]
        await keeper.close(with_snapshot=False)

    run(live)


def test_what_a_pool_refuses_is_in_quarantine_before_the_ledger_says_so() -> None:
    """A job of another pool is a good record, which the door takes."""

    async def live() -> None:
        broker, keeper = await led()
        before = reopened("main")
        broker.quarantine_away = True
        foreign = broker.say(submitted(1, 1))
        await until_async(lambda: reopened("main") >= before + 2, "it was tried again twice")
        assert broker.events(InputQuarantined) == []
        broker.quarantine_away = False
        await until_async(lambda: broker.events(InputQuarantined), "the ledger says so")
        assert [offset for _, offset, _ in broker.quarantined] == [foreign]
        await keeper.close(with_snapshot=False)

    run(live)


def test_nothing_leads_from_the_loop_into_a_host_but_its_guard() -> None:
    """What asyncio calls by itself is raised to nobody."""
    around = {"call_soon", "call_soon_threadsafe", "call_later", "call_at", "create_task", "ensure_future", "gather"}
    for module in (pool_host, opening, leading, jobs_reader, inbox):
        tree = ast.parse(Path(module.__file__ or "").read_text())
        assert {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & around == set()


def test_a_host_that_does_not_end_well_has_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async def live() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        broker, keeper = await led()
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
