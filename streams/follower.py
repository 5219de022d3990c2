"""Following one partition through Faust from a position of our own: nothing left out, nothing taken twice.

Faust delivers; whether a record is the wanted one is judged here (streams.positions). A quiet partition reveals
nothing, so the broker is asked too: when nothing was taken for a while although the partition goes on, either Faust
lost its place (it is sought back) or what was wanted is gone, compacted or expired (it is passed over).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from runtime.kafka import OffsetGone, Watermarks, offsets, read_range
from streams.positions import Positions, Verdict

STALL_S = 2.0
"""Without a record taken for this long, the broker is asked where the partition ends."""

log = structlog.get_logger(__name__)


class Follower:
    """One partition's. Make it on the event loop, from which all its methods are called."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        partition: int,
        wanted: int,
        *,
        watermarks: Watermarks,
        seek: Callable[[str, int, int], Awaitable[None]],
        on_gap: Callable[[int], None] | None = None,
    ) -> None:
        """Begins to seek at once. `seek(topic, partition, offset)` has Faust deliver that record next; `on_gap(offset)`
        hears that nothing is left before `offset`."""
        self._bootstrap, self._topic, self._partition = bootstrap, topic, partition
        self._positions = Positions(wanted)
        self._watermarks, self._seek_to, self._on_gap = watermarks, seek, on_gap
        self._task = asyncio.create_task(self._watch())

    @property
    def wanted(self) -> int:
        """Offset of the next record to take."""
        return self._positions.wanted

    async def wants(self, offset: int) -> bool:
        """Whether the delivered record at `offset` is to be taken now. If not, and records were left out, Faust is
        sought back to them."""
        verdict = self._positions.judge(offset)
        if verdict is Verdict.SEEK:
            await self.seek()
        elif verdict is Verdict.ASK:
            await self._ask()
        return verdict is Verdict.TAKE

    async def seek(self) -> None:
        """Have the wanted record delivered next."""
        await self._seek_to(self._topic, self._partition, self._positions.wanted)

    def close(self) -> None:
        self._task.cancel()

    async def _watch(self) -> None:
        await self.seek()
        while True:
            before = self._positions.wanted
            await asyncio.sleep(STALL_S)
            if self._positions.wanted != before:
                continue
            try:
                _, end = await asyncio.to_thread(self._watermarks.of, self._topic, self._partition)
                if end > before == self._positions.wanted:
                    await self._ask()
            except Exception as error:
                log.warning("the broker did not say where a partition ends", topic=self._topic, found=repr(error))

    async def _ask(self) -> None:
        """Find the first record at or after the wanted one: pass over what is gone, seek what is there."""
        wanted = self._positions.wanted
        first = await asyncio.to_thread(first_offset, self._bootstrap, self._topic, self._partition, wanted)
        if first is None or self._positions.wanted != wanted:
            return
        if first > wanted:
            log.info(
                "records are gone, going on", topic=self._topic, partition=self._partition, expected=wanted, found=first
            )
            self._positions.skip_to(first)
            if self._on_gap is not None:
                self._on_gap(first)
        self._positions.restart()
        await self.seek()


def first_offset(bootstrap: str, topic: str, partition: int, wanted: int) -> int | None:
    """Offset of the first record at or after `wanted`, or the end when there is none; None: ask again."""
    low, high = offsets(bootstrap, topic, partition)
    try:
        record = next(read_range(bootstrap, topic, partition, max(low, wanted), high), None)
    except OffsetGone:
        return None
    return record.offset if record is not None else max(high, wanted)
