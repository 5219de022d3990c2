"""Threads that a server keeps hold of keep nobody else waiting for ever, and nothing piles up behind them."""

from __future__ import annotations

import asyncio
import threading

import pytest

from api.threads import AnsweringThreads
from runtime.postgres import DatabaseSilent
from tests.waiting import until_async, within


def test_while_all_threads_hang_each_call_ends_within_its_patience_and_nothing_is_queued() -> None:
    async def live() -> None:
        threads, free, ran = AnsweringThreads(2), threading.Event(), [0]

        def hang() -> None:
            ran[0] += 1
            assert free.wait(60)

        for _ in range(10):
            with pytest.raises(DatabaseSilent):
                await threads.run(hang, 0.001)
        assert ran[0] <= 2, "a call that was given up is not begun later"
        assert threads._pool._work_queue.qsize() == 0
        free.set()
        await until_async(lambda: threads._free._value == 2, "the threads are free again")
        assert await threads.run(lambda: 7, None) == 7
        threads.close()

    asyncio.run(within(60, live()))


def test_when_too_many_wait_the_next_one_is_refused_at_once() -> None:
    async def live() -> None:
        threads, free = AnsweringThreads(1, waiting_max=3), threading.Event()
        calls = [asyncio.create_task(threads.run(free.wait, None)) for _ in range(4)]
        await until_async(lambda: threads.waiting == 3)
        with pytest.raises(DatabaseSilent):
            await threads.run(free.wait, None)
        free.set()
        assert await asyncio.gather(*calls) == [True] * 4
        threads.close()

    asyncio.run(within(60, live()))


def test_what_a_call_raises_is_raised_and_frees_its_thread() -> None:
    def fail() -> None:
        raise ValueError("mine")

    async def live() -> None:
        threads = AnsweringThreads(1)
        for _ in range(3):
            with pytest.raises(ValueError, match="mine"):
                await threads.run(fail, 60)
        threads.close()

    asyncio.run(within(60, live()))
