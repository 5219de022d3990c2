"""Following one partition through Faust from a position of our own: nothing left out, nothing taken twice.

Faust delivers. The follower takes a record only if it is the wanted one (streams.hosting.positions). A gap that fetches
proved is passed over at once (streams.hosting.gaps). A quiet partition reveals nothing, so the follower also asks the
broker. When nothing was taken for a while although the partition goes on, there are two cases: the wanted record has
expired and is passed over, or Faust lost its place and is sought back, and the fetch from there proves what lies there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from runtime.kafka import Watermarks
from runtime.outage_watch import OutageWatch
from runtime.telemetry import without_words
from streams.hosting.gaps import PROVEN, Gaps
from streams.hosting.positions import OffsetVerdict, Positions

STALL_S = 2.0
"""When no record was taken for this long, the broker is asked where the partition ends."""

OnExpired = Callable[[int, int], None]
"""on_expired(first, next_offset): what lay from `first` on, up to `next_offset`, expired before it was read."""

log = structlog.get_logger(__name__)


class Follower:
    """The follower of one partition. Make it on the event loop, and call all methods from there."""

    def __init__(
        self,
        topic: str,
        partition: int,
        wanted: int,
        *,
        watermarks: Watermarks,
        seek: Callable[[str, int, int], Awaitable[None]],
        on_gap: Callable[[int], None] | None = None,
        on_expired: OnExpired | None = None,
        gaps: Gaps = PROVEN,
        has_more: Callable[[], bool] = lambda: False,
    ) -> None:
        """Begins to seek at once. `seek(topic, partition, offset)` has Faust deliver that record next. `on_gap(offset)`
        hears, between two records, that nothing is left before `offset` but records that were taken; do not count those
        as done while you still work on them. `has_more()` says that records were delivered and wait to be judged, so no
        record is missing yet."""
        self._topic, self._partition = topic, partition
        self._positions = Positions(wanted)
        self._watermarks, self._seek_to, self._on_gap, self._gaps = watermarks, seek, on_gap, gaps
        self._on_expired = on_expired
        self._watching = OutageWatch(
            "a partition is not followed for the moment; tried again", "a partition is followed again"
        )
        self._has_more = has_more
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._watch())
        self._asking: asyncio.Task[None] | None = None
        self._held = False

    @property
    def wanted(self) -> int:
        """Offset of the next record to take."""
        return self._positions.wanted

    async def take(self, offset: int, follows: int | None = None) -> bool:
        """Take the delivered record at `offset`, if it is the wanted one; whether it was taken. `follows`: as
        Record.follows. When the record is not taken because others were left out, Faust is sought back to those. Does
        not wait when the record is taken, and never for the broker."""
        if self._held:
            return False
        verdict = self._positions.take(offset, follows)
        if verdict is OffsetVerdict.TAKE:
            wanted = self._positions.wanted
            if self._gaps.past(self._topic, self._partition, wanted) > wanted:
                self._loop.call_soon(self._pass_over_proven)
            return True
        if verdict is OffsetVerdict.SEEK:
            await self._attempt(self.seek)
        elif verdict is OffsetVerdict.ASK and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._attempt(self._ask))
        return False

    async def seek(self) -> None:
        """Have the wanted record delivered next."""
        await self._seek_to(self._topic, self._partition, self._positions.wanted)

    def hold(self) -> None:
        """There is no room: take nothing until `go_on`, whatever is delivered."""
        self._held = True

    async def go_on(self) -> None:
        """There is room again: have what was not taken meanwhile delivered once more."""
        self._held = False
        self._positions.restart()
        await self._attempt(self.seek)

    def close(self) -> None:
        self._task.cancel()
        if self._asking is not None:
            self._asking.cancel()

    async def _watch(self) -> None:
        await self._attempt(self.seek)
        while True:
            before = self._positions.wanted
            await asyncio.sleep(STALL_S)
            if self._held or self._has_more() or self._positions.wanted != before:
                continue
            if not self._pass_over_proven():
                await self._attempt(self._look_for_more)

    async def _attempt(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do the step. A failure is logged, and the next look tries again: the watch goes on."""
        place = {"topic": self._topic, "partition": self._partition, "offset": self._positions.wanted}
        try:
            await step()
        except Exception as error:  # the watch goes on, and says so
            self._watching.failed(without_words(error), **place)
        else:
            self._watching.worked(**place)

    async def _look_for_more(self) -> None:
        """If the partition has more records, find out why none came."""
        wanted = self._positions.wanted
        _, end = await asyncio.to_thread(self._watermarks.of, self._topic, self._partition)
        if end > wanted == self._positions.wanted:
            await self._ask()

    def _pass_over_proven(self) -> bool:
        """Go on behind a proven gap, if there is one here; whether there was."""
        past = self._gaps.past(self._topic, self._partition, self._positions.wanted)
        return self._pass_over(past)

    def _pass_over(self, past: int) -> bool:
        if past <= self._positions.wanted or self._task.done():
            return False
        self._positions.skip_to(past)
        if self._on_gap is not None:
            self._on_gap(past)
        return True

    async def _ask(self) -> None:
        """The wanted record does not come: pass it over if it has expired, else seek to it once more. The fetch from
        there proves what lies there."""
        wanted = self._positions.wanted
        low, _ = await asyncio.to_thread(self._watermarks.of, self._topic, self._partition)
        if self._positions.wanted != wanted:
            return
        if self._pass_over(low):
            log.error(
                "records expired before they were read: going on behind them",
                topic=self._topic,
                partition=self._partition,
                offset=wanted,
                next_offset=low,
            )
            if self._on_expired is not None:
                self._on_expired(wanted, low)
        self._positions.restart()
        await self._attempt(self.seek)
