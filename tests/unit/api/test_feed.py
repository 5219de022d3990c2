"""The feed of event streams ends, whatever happens at the moment when it is closed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from api.feed import Feed
from api.hub import Hub
from tests.waiting import within


async def read(*_: Any) -> list[Any]:
    return []


@pytest.mark.parametrize("turns", range(8))
def test_a_change_as_it_is_closed_does_not_keep_it(turns: int) -> None:
    """`asyncio.wait_for` swallowed the cancellation then: the process, told to stop, ran for ever."""

    async def live() -> None:
        hub = Hub()
        feed = Feed("postgresql://127.0.0.1:1/nobody", hub, read)
        feed.start()
        await asyncio.sleep(0)
        hub.changed.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        await within(10, feed.close())

    asyncio.run(live())
