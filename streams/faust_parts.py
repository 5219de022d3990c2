"""Two parts of Faust replaced, because we use neither what they wait for nor what they count."""

from __future__ import annotations

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
