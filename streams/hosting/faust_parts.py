"""Parts of Faust that we replace.

Some wait for things or count things that we do not use. The consumer is replaced because a record that was aborted in
its producer's transaction must never run; Faust heeds aborts only under a setting that the design forbids.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.sensors import Monitor
from faust.tables.manager import TableManager
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.utils.queues import ThrowableQueue

from runtime.kafka import Record
from streams.hosting.fetching import fetch_safely
from streams.hosting.flow import FlowControl
from streams.hosting.inbox import RECORD_BYTES, bytes_of

READ_COMMITTED = "read_committed"
HANDED_OVER_BYTES = 8 * 1024 * 1024
_HOLDER = "queue"
_LOGGER = logging.getLogger("faust")
"""Services of Faust log under the name of their module. Ours use Faust's name, so that faust_app.QUIET quiets them
too."""


class FetchedMessage(ConsumerMessage):
    """A message with the record it was made of, which carries what the fetch proved."""

    __slots__ = ("record",)

    record: Record


class CommittedThread(AIOKafkaConsumerThread):
    """Reads committed records and nothing else."""

    logger = _LOGGER

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = READ_COMMITTED
        return consumer

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Says nothing. Faust looks at when aiokafka last fetched records of the partition. It finds no time for a
        partition to which nobody writes, or that we hold back, and calls that an error every few seconds ("Aiokafka has
        not sent fetch request"), though the partition is read all the time. What does not come forward we see
        ourselves: streams.hosting.follower compares each partition with its end."""


class CommittedConsumer(Consumer):
    """The consumer on that thread. Its messages have their records, and it seeks on that thread."""

    logger = _LOGGER

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)

    async def _seek(self, partition: TP, offset: int) -> None:
        """Seek on the thread that reads fetches. A seek from another thread, in the middle of a read, ends the
        consumer."""
        self._read_offset[partition] = offset or None  # before any record comes from there
        consumer = self._thread._ensure_consumer()

        async def seek() -> None:
            consumer.seek(TopicPartition(*partition), offset)

        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(seek(), self._thread.thread_loop))

    def _to_message(self, tp: Any, record: Any) -> ConsumerMessage:
        message = FetchedMessage(
            record.topic,
            record.partition,
            record.offset,
            record.timestamp_ms / 1000,
            timestamp_type=1,
            headers=None,
            key=record.key,
            value=record.value,
            checksum=None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )
        message.record = record
        return message


class CommittedTransport(Transport):
    Consumer = CommittedConsumer


def read_committed(app: Any) -> None:
    """Have the app's consumer read only committed records, and every batch that a broker takes. Call before the
    start."""
    fetch_safely()
    app.transport = CommittedTransport(app.conf.broker_consumer, app)


async def commit(app: Any, offsets: Mapping[TP, int]) -> None:
    """Commit the offsets of those partitions that are still ours. Raises what aiokafka raises."""
    thread = app.consumer._thread
    consumer = thread._ensure_consumer()
    ours = thread.assignment()
    kept = {TopicPartition(*tp): OffsetAndMetadata(offset, "") for tp, offset in offsets.items() if tp in ours}
    if kept:
        await thread.call_thread(consumer.commit, kept)


class MeasuredQueue(ThrowableQueue):  # type: ignore[type-arg]
    """What Faust has fetched and no stream has taken, measured in bytes. Faust counts messages, whatever their size.

    All partitions are held back while more than HANDED_OVER_BYTES wait here. What a fetch has brought already still
    comes, so at most that and one fetch are here."""

    def __init__(self, *args: Any, flow: FlowControl, **kwargs: Any) -> None:
        self._flow, self._holding, self.size_bytes = flow, False, 0
        super().__init__(*args, **kwargs)

    def clear(self) -> None:
        super().clear()
        self._measure(-self.size_bytes)

    def _put(self, item: Any) -> None:
        super()._put(item)
        self._measure(_size(item))

    def _get(self) -> Any:
        item = super()._get()
        self._measure(-_size(item))
        return item

    def _measure(self, bytes_more: int) -> None:
        self.size_bytes += bytes_more
        if not self._holding and self.size_bytes > HANDED_OVER_BYTES:
            self._holding = True
            self._flow.hold_all(True, _HOLDER)
        elif self._holding and self.size_bytes <= HANDED_OVER_BYTES // 2:
            self._holding = False
            self._flow.hold_all(False, _HOLDER)


def _size(item: Any) -> int:
    """Of an event of Faust, in memory."""
    record: Record | None = getattr(getattr(item, "message", None), "record", None)
    return RECORD_BYTES + (bytes_of(record) if record is not None else 0)


def measure_queues(app: Any, flow: FlowControl) -> None:
    """Have every queue of the app measured. Call before the app has streams."""

    def queue(maxsize: int | None = None, *, clear_on_resume: bool = False) -> MeasuredQueue:
        return MeasuredQueue(maxsize=maxsize, flow_control=app.flow_control, clear_on_resume=clear_on_resume, flow=flow)

    app.FlowControlQueue = queue


class NoTables(TableManager):
    """We have no tables (design, rule 1). Faust sleeps a second at each start before it looks at them."""

    logger = _LOGGER

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class NoMonitor(Monitor):
    """Times nothing: Faust times every message in Python, and our metrics count batches (streams.metrics)."""

    logger = _LOGGER

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
    """Have the consumer hand each message over without making four tasks for it.

    Faust races each hand-over against a rebalance, a stop and a crash. A hand-over can wait only while the flow is
    suspended or the buffer of a stream is full. Otherwise it is awaited directly, which halves Faust's time a message.
    """
    consumer.wait_first = partial(_wait_first, consumer, consumer.wait_first)


async def _wait_first(consumer: Any, faust_wait_first: Any, *coroutines: Any, timeout: Any = None) -> Any:
    if len(coroutines) != 2 or timeout is not None or consumer.suspend_flow.is_set() or consumer.should_stop:
        return await faust_wait_first(*coroutines, timeout=timeout)
    hand_over, suspended = coroutines
    suspended.close()
    return await hand_over
