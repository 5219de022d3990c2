"""Parts of Faust replaced, because we use neither what they wait for nor what they count."""

from __future__ import annotations

from functools import partial
from typing import Any

from faust.sensors import Monitor
from faust.tables.manager import TableManager


class NoTables(TableManager):
    """Faust sleeps a second at each start before it looks at its tables, of which we have none (design, rule 1)."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class NoMonitor(Monitor):
    """Faust times every message in Python; our metrics count batches (streams.metrics)."""

    def on_message_in(self, *_: Any) -> None:
        pass

    def on_stream_event_in(self, *_: Any) -> None:
        pass

    def on_stream_event_out(self, *_: Any) -> None:
        pass

    def on_message_out(self, *_: Any) -> None:
        pass

    def on_topic_buffer_full(self, *_: Any) -> None:
        pass

    def track_tp_end_offset(self, *_: Any) -> None:
        pass


def deliver_directly(consumer: Any) -> None:
    """Have the consumer hand each message over without four tasks made for it.

    Faust races each hand-over against a rebalance, a stop and a crash. A hand-over waits only while the flow is
    suspended or a stream's buffer is full; with neither, it is awaited as it is, which halves Faust's time a message.
    """
    consumer.wait_first = partial(_wait_first, consumer, consumer.wait_first)


async def _wait_first(consumer: Any, faust_wait_first: Any, *coroutines: Any, timeout: Any = None) -> Any:
    if len(coroutines) != 2 or timeout is not None or consumer.suspend_flow.is_set() or consumer.should_stop:
        return await faust_wait_first(*coroutines, timeout=timeout)
    hand_over, suspended = coroutines
    suspended.close()
    return await hand_over
