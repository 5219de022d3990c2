"""Each kind of work has threads of its own, and one caller has a part of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest

from api import resources
from api.metrics import Metrics
from api.resources import Resources
from api.shares import ASKER
from runtime.settings import Settings
from tests.waiting import within

Ask = Callable[[Callable[[], Any]], Coroutine[Any, Any, Any]]
CALLS = 30
"""More than any kind of work has threads."""


def keys_of(process: Resources) -> Ask:
    async def ask(function: Callable[[], Any]) -> Any:
        process._keyring = SimpleNamespace(resolve=lambda secret: function())  # type: ignore[assignment]
        return await process._look_up("hr_secret", ASKER.get())

    return ask


KINDS: dict[str, Callable[[Resources], Ask]] = {
    "keys": keys_of,
    "views": lambda process: process.in_thread,
    "checks": lambda process: process.catalog._in_check,
    "store": lambda process: process.in_store,
    "ledger": lambda process: process.in_ledger,
}


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Resources:
    for name in ("Producer", "store_of_moment"):
        monkeypatch.setattr(resources, name, lambda *_, **__: None)
    return Resources(Settings(), Metrics())


def asked(process: Resources, kind: str, who: str, function: Callable[[], Any]) -> asyncio.Task[Any]:
    ASKER.set(who)
    return asyncio.create_task(KINDS[kind](process)(function))


@pytest.mark.parametrize("kind", KINDS)
def test_one_caller_leaves_threads_of_each_kind_to_others(process: Resources, kind: str) -> None:
    async def work() -> None:
        free = threading.Event()
        greedy = [asked(process, kind, "greedy", free.wait) for _ in range(CALLS)]
        try:
            await asyncio.sleep(0)
            assert await within(5, asked(process, kind, "other", lambda: 7)) == 7
        finally:
            free.set()
            await asyncio.gather(*greedy)

    asyncio.run(within(60, work()))


@pytest.mark.parametrize("full", KINDS)
def test_no_kind_of_work_waits_for_another(process: Resources, full: str) -> None:
    async def work() -> None:
        free = threading.Event()
        many = [asked(process, full, f"tenant {number}", free.wait) for number in range(CALLS)]
        try:
            await asyncio.sleep(0)
            for kind in KINDS:
                if kind != full:
                    assert await within(5, asked(process, kind, "other", lambda: 7)) == 7
        finally:
            free.set()
            await asyncio.gather(*many)

    asyncio.run(within(60, work()))
