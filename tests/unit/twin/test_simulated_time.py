"""Simulated time: threads, waits and clocks do what the machine's do, in an order that a seed repeats."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid

import pytest

from tests.twin.simulated import SimulatedTime, Stuck


def test_waiting_costs_nothing_and_every_clock_agrees() -> None:
    began_s, simulated = time.monotonic(), SimulatedTime()

    async def live() -> tuple[float, float, float]:
        before = time.monotonic(), time.time(), asyncio.get_running_loop().time()
        await asyncio.sleep(3_600)
        await asyncio.to_thread(time.sleep, 1_800)
        return tuple(now - then for now, then in zip((time.monotonic(), time.time(), simulated.now_s()), before))  # type: ignore[return-value] # noqa: B905

    assert simulated.run(live) == pytest.approx((5_400, 5_400, 5_400))
    assert time.monotonic() - began_s < 60, "the machine's clock is back, and has hardly moved"


def test_threads_wait_for_each_other_as_they_do_on_a_machine() -> None:
    async def live() -> list[tuple[str, bool, float]]:
        said: list[tuple[str, bool, float]] = []
        go, room, lock, began_s = threading.Event(), threading.Semaphore(1), threading.Lock(), time.monotonic()

        def work(name: str) -> None:
            with room:
                heard = go.wait(5)
            with lock:
                time.sleep(1)
                said.append((name, heard, round(time.monotonic() - began_s, 3)))

        threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
        for thread in threads:
            thread.start()
            await asyncio.sleep(0.1)
        assert not room.acquire(timeout=0.3)
        threads[1].join(6.5)
        assert threads[1].is_alive()
        go.set()
        for thread in threads:
            thread.join()
        return said

    assert SimulatedTime(1).run(live) == [("a", False, 6.0), ("b", True, 8.0)]


def test_threads_that_were_there_before_keep_what_the_machine_has() -> None:
    """A test before this one may have left a thread. If it waited in simulated time, the simulation would end with an
    error of another test."""
    over, waited = threading.Event(), threading.Semaphore(0)

    def of_a_test_before() -> None:
        while not over.is_set():
            threading.Event().wait(0.0001)
            waited.release()

    async def live() -> None:
        for _ in range(20):
            waited.acquire()
            await asyncio.sleep(1)

    thread = threading.Thread(target=of_a_test_before)
    thread.start()
    try:
        SimulatedTime().run(live)
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("seed", range(3))
def test_a_seed_repeats_itself(seed: int) -> None:
    def story() -> list[str]:
        said: list[str] = []

        def work(name: int) -> None:
            for _ in range(3):
                time.sleep(0.1)
                said.append(f"{name} {uuid.uuid4()}")

        async def live() -> None:
            await asyncio.gather(*(asyncio.to_thread(work, name) for name in range(4)))

        SimulatedTime(seed).run(live)
        return said

    assert story() == story()


def test_different_seeds_take_different_turns() -> None:
    def order(seed: int) -> list[int]:
        said: list[int] = []

        async def live() -> None:
            await asyncio.gather(*(asyncio.to_thread(said.append, number) for number in range(6)))

        SimulatedTime(seed).run(live)
        return said

    assert len({tuple(order(seed)) for seed in range(10)}) > 3


def test_what_waits_without_an_end_is_said() -> None:
    async def live() -> None:
        await asyncio.to_thread(threading.Event().wait)

    with pytest.raises(Stuck, match="nothing can happen any more"):
        SimulatedTime().run(live)


def test_what_a_thread_raises_is_raised() -> None:
    def fail() -> None:
        raise LookupError("a violet walrus")

    async def live() -> None:
        threading.Thread(target=fail).start()
        await asyncio.sleep(1)

    with pytest.raises(LookupError):
        SimulatedTime().run(live)


def test_an_executor_of_one_does_one_thing_at_a_time() -> None:
    from concurrent.futures import ThreadPoolExecutor

    async def live() -> list[str]:
        said: list[str] = []

        def work(name: str) -> None:
            said.append(f"{name} begins")
            time.sleep(1)
            said.append(f"{name} ends")

        loop, judging = asyncio.get_running_loop(), ThreadPoolExecutor(1)
        await asyncio.gather(*(loop.run_in_executor(judging, work, name) for name in "abc"))
        return said

    said = SimulatedTime(5).run(live)
    assert all(said[place].split()[0] == said[place + 1].split()[0] for place in (0, 2, 4))
