"""The one way into a host: the first exception ends it, once, and nothing runs after the end. In simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from streams.ledger.host_guard import HostEnded, HostGuard, PoolEnds
from streams.ledger.outputs import PoolRest
from tests.twin.simulated import SimulatedTime
from tests.waiting import until_async


def fail() -> None:
    raise PoolEnds("struck", PoolRest.LONG, found="it")


def stumble() -> None:
    raise ValueError("a prompt that nobody may quote")


async def fail_later() -> None:
    await asyncio.sleep(0)
    fail()


WAYS: dict[str, Callable[[HostGuard], object]] = {
    "now": lambda guard: guard.run(fail),
    "a callback": lambda guard: guard.of(fail)(),
    "a thread": lambda guard: guard.from_thread(fail)(),
    "soon": lambda guard: guard.soon(fail),
    "a timer": lambda guard: guard.later(0.001, fail),
    "a task": lambda guard: guard.spawn(fail_later()),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_ends_the_host_once_and_none_leads_in_after_that(way: str) -> None:
    async def live() -> None:
        ended: list[HostEnded] = []
        guard = HostGuard(ended.append)
        guard.spawn(asyncio.sleep(3_600))
        WAYS[way](guard)
        await until_async(lambda: ended, "it ends")
        assert ended == [HostEnded("struck", PoolRest.LONG, {"found": "it"})]
        ran: list[str] = []
        for again, lead in WAYS.items():
            lead(guard)
            guard.run(ran.append, again)
            guard.from_thread(ran.append)(again)
        await asyncio.sleep(1)
        assert (ran, len(ended)) == ([], 1)
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []

    SimulatedTime().run(live)


@pytest.mark.parametrize("way", WAYS)
def test_nothing_runs_after_a_close_and_nobody_hears_of_it(way: str) -> None:
    async def live() -> None:
        ended: list[HostEnded] = []
        guard = HostGuard(ended.append)
        WAYS[way](guard) if way in ("soon", "a timer", "a task", "a thread") else None
        guard.close()
        WAYS[way](guard)
        await asyncio.sleep(1)
        assert ended == []

    SimulatedTime().run(live)


def test_what_was_not_foreseen_is_said_without_its_words() -> None:
    async def live() -> None:
        ended: list[HostEnded] = []
        HostGuard(ended.append).run(stumble)
        (end,) = ended
        assert (end.rest, end.facts["found"].split(":")[0]) == (PoolRest.BRIEF, "ValueError at test_host_guard.py")

    SimulatedTime().run(live)
