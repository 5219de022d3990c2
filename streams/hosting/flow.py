"""Flow control: of which partitions records are fetched, by the room that there is for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from faust.types import TP

HELD_LOOK_S = 0.1
"""While a partition is held back, each fetch of the others waits at most this long: the partition may be released."""


class FlowControl:
    """Holds partitions back: nothing is fetched of them, because whoever takes their records has no room.

    Faust also holds partitions back while it rebalances, and releases all of them afterwards; so ours are kept
    apart."""

    def __init__(self) -> None:
        self._held: set[TP] = set()
        self._holders: set[str] = set()
        """Who holds every partition back."""
        self._released = asyncio.Event()
        self.is_behind: Callable[[], bool] = lambda: False
        """Whether records were delivered that nobody has taken yet. Whoever takes late must not have them delivered
        once more: they would fill the memory."""

    def hold(self, tp: TP, held: bool) -> None:
        """Hold one partition back, or release it."""
        (self._held.add if held else self._held.discard)(tp)
        self._note(held)

    def hold_all(self, held: bool, holder: str = "taker") -> None:
        """Hold every partition back, or release all but those that `hold` or another holder holds."""
        (self._holders.add if held else self._holders.discard)(holder)
        self._note(held)

    @property
    def holds(self) -> bool:
        return bool(self._holders or self._held)

    def open_of(self, partitions: set[TP]) -> set[TP]:
        """Those of the partitions of which records may be fetched."""
        return set() if self._holders else partitions - self._held

    async def released(self) -> None:
        """Wait until something has been released since the last wait."""
        await self._released.wait()
        self._released.clear()

    def _note(self, held: bool) -> None:
        if not held:
            self._released.set()


def fetch_what_flows(consumer: Any, flow: FlowControl) -> None:
    """Have the consumer fetch only what `flow` does not hold back."""
    consumer._wait_next_records = partial(_wait_next_records, consumer, flow)


async def _wait_next_records(consumer: Any, flow: FlowControl, timeout: float) -> tuple[dict[TP, Any], set[TP]]:
    """As Faust's own method, without what is held back."""
    if not consumer.flow_active:
        await consumer.wait(consumer.can_resume_flow)
    try:
        partitions = flow.open_of(consumer._get_active_partitions())
        if partitions:
            timeout = HELD_LOOK_S if flow.holds else timeout
            return await consumer._getmany(active_partitions=partitions, timeout=timeout), partitions
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await flow.released()
        return {}, partitions
    finally:
        consumer.not_waiting_next_records.set()
