"""Reading records of given partitions from given offsets: assign(), never a consumer group.

Only committed records are read (the library's default): what a producer wrote in a transaction counts from its commit
on, and nothing behind those records is read before the transaction has ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Literal

import structlog
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, TopicPartition

from contract.bounds import MESSAGE_BYTES_MAX
from runtime import kafka_clients
from runtime.kafka_credentials import Brokers
from runtime.kafka_records import CLIENT, METADATA_TIMEOUT_S, Complaints, OffsetGone, Record

log = structlog.get_logger(__name__)

LEADER_TIMEOUT_S = 5.0
"""A topic made a moment ago, or a broker that just came back, has leaders within this time."""

_NO_LEADER = frozenset(
    {
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,  # a broker that came back names its partitions one by one
    }
)

_PASSING = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._RESOLVE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,
    }
)
"""Errors from which librdkafka recovers by itself once the broker is back."""

READ_BYTES_MAX = 4 * 1024 * 1024
FETCHED_KBYTES_MAX = 8_192
"""What a consumer fetches ahead of its reader. Then it waits; a fetch under way still comes, which is one record of the
largest size, or as many small ones, for each partition."""

StartOffset = int | Literal["beginning", "end"]


class Reader:
    """Reads given partitions from given offsets, without a group.

    The constructor asks the broker where the end is: the reader reads whatever is written after the constructor
    returned.
    """

    def __init__(
        self, brokers: Brokers, starts: Mapping[tuple[str, int], StartOffset], *, client_id: str = "headrace"
    ) -> None:
        self._consumer = new_consumer(brokers, client_id)
        self._complaints = Complaints()
        self._positions: dict[tuple[str, int], int] = {}
        try:
            for (topic, partition), start in starts.items():
                self._positions[topic, partition] = self._resolve(topic, partition, start)
        except BaseException:  # else the consumer's threads would outlive a reader that nobody got
            self._consumer.close()
            raise
        self._consumer.assign([TopicPartition(t, p, offset) for (t, p), offset in self._positions.items()])

    def read(self, timeout_s: float, max_records: int = 500, max_bytes: int = READ_BYTES_MAX) -> list[Record]:
        """Wait at most `timeout_s` for a record. Returns the records that have arrived by then, at most `max_records`,
        and none more once they have `max_bytes`.

        Waits for a broker that is away. OffsetGone when the position is no longer in the log.
        """
        first = self._consumer.poll(timeout_s)
        if first is None:
            return []
        records, size = [], 0
        message: Any = first
        while message is not None:
            record = self._record(message)
            if record is not None:
                records.append(record)
                size += len(record.value or b"")
            full = len(records) >= max_records or size >= max_bytes
            message = None if full else self._consumer.poll(0)
        return records

    def position(self, partition: tuple[str, int]) -> int:
        """Offset of the next record of this (topic, partition)."""
        return self._positions[partition]

    def close(self) -> None:
        self._consumer.close()

    def _resolve(self, topic: str, partition: int, start: StartOffset) -> int:
        if isinstance(start, int):
            return start
        low, high = _watermarks(self._consumer, topic, partition)
        return low if start == "beginning" else high

    def _record(self, message: Any) -> Record | None:
        if message.error() is not None:
            _raise_unless_passing(message, self._complaints)
            return None
        record = record_of(message)
        self._positions[record.topic, record.partition] = record.offset + 1
        return record


def read_range(brokers: Brokers, topic: str, partition: int, start: int, end: int) -> Iterator[Record]:
    """The records with start <= offset < end. Compaction may have taken some of them.

    OffsetGone when the log begins after `start` or ends before `end`.
    """
    if start >= end:
        return
    consumer, complaints = new_consumer(brokers, "headrace-range", {"enable.partition.eof": True}), Complaints()
    try:
        low, high = _watermarks(consumer, topic, partition)
        if start < low or end > high:
            raise OffsetGone(f"expected {topic}/{partition} to hold {start} to {end}, found {low} to {high}")
        consumer.assign([TopicPartition(topic, partition, start)])
        while True:
            message = consumer.poll(METADATA_TIMEOUT_S)
            if message is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"reading {topic}/{partition}"))
            if message.error() is not None:
                if message.error().code() == KafkaError._PARTITION_EOF:
                    return
                _raise_unless_passing(message, complaints)
                continue
            if message.offset() >= end:
                return
            yield record_of(message)
            if message.offset() == end - 1:
                return
    finally:
        consumer.close()


def read_one(brokers: Brokers, topic: str, partition: int, offset: int) -> Record | None:
    """The record at `offset`; None when the record was compacted away, retained out, or not yet written."""
    try:
        return next(read_range(brokers, topic, partition, offset, offset + 1), None)
    except OffsetGone:
        return None


def offsets(brokers: Brokers, topic: str, partition: int) -> tuple[int, int]:
    """(offset of the first record kept, offset up to which records can be read). The second is that of the next record
    to be written, or of the first record of a transaction under way."""
    consumer = new_consumer(brokers, "headrace-offsets")
    try:
        return _watermarks(consumer, topic, partition)
    finally:
        consumer.close()


def partitions(brokers: Brokers, topic: str) -> int:
    """How many partitions the topic has. OffsetGone when there is no such topic (yet)."""
    consumer = new_consumer(brokers, "headrace-partitions")
    try:
        found = consumer.list_topics(topic, timeout=METADATA_TIMEOUT_S).topics.get(topic)
    finally:
        consumer.close()
    if found is None or found.error is not None or not found.partitions:
        raise OffsetGone(f"expected a topic {topic!r}, found none")
    return len(found.partitions)


class Watermarks:
    """Asks where partitions begin and end, on lasting connections, for callers that ask often. May be used from any
    thread: the library's client allows it, and no caller waits for the answer to another."""

    def __init__(self, brokers: Brokers, *, client_id: str = "headrace-watermarks") -> None:
        self._brokers, self._client_id = brokers, client_id
        self._consumer = new_consumer(brokers, client_id)
        self._uncommitted: Any = None
        self._making = threading.Lock()

    def of(self, topic: str, partition: int) -> tuple[int, int]:
        """As `offsets`."""
        return _watermarks(self._consumer, topic, partition)

    def end_of_all_written(self, topic: str, partition: int) -> int:
        """The offset behind everything written, transactions under way included: a reader that has come this far has
        read all that has reached the partition by now."""
        with self._making:
            if self._uncommitted is None:
                self._uncommitted = new_consumer(
                    self._brokers, self._client_id, {"isolation.level": "read_uncommitted"}
                )
        return _watermarks(self._uncommitted, topic, partition)[1]

    def close(self) -> None:
        self._consumer.close()
        if self._uncommitted is not None:
            self._uncommitted.close()


def new_consumer(brokers: Brokers, client_id: str, more: Mapping[str, Any] | None = None) -> Any:
    return kafka_clients.consumer(
        {
            **CLIENT,
            **brokers.librdkafka(),
            "client.id": client_id,
            "group.id": client_id,  # the library asks for a group; none is joined, nothing is committed
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "check.crcs": True,
            "fetch.error.backoff.ms": 50,
            "queued.max.messages.kbytes": FETCHED_KBYTES_MAX,
            "socket.nagle.disable": True,
            "fetch.message.max.bytes": MESSAGE_BYTES_MAX,
            **(more or {}),
        }
    )


def _watermarks(consumer: Any, topic: str, partition: int) -> tuple[int, int]:
    deadline = time.monotonic() + LEADER_TIMEOUT_S
    asked = TopicPartition(topic, partition, OFFSET_BEGINNING)
    while True:
        try:
            low, high = consumer.get_watermark_offsets(asked, timeout=METADATA_TIMEOUT_S)
            return int(low), int(high)
        except KafkaException as error:
            if error.args[0].code() not in _NO_LEADER or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def record_of(message: Any) -> Record:
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        message.key(),
        message.value(),
        _headers_of(message),
    )


def _headers_of(message: Any) -> list[tuple[str, bytes]]:
    """The record's headers; none when a header's name is not UTF-8. In that case the library breaks its promise to
    Python: it returns a list with holes while an exception is set. A plain call may miss the exception once Python has
    specialised the call; a call through a partial notices."""
    try:
        return partial(message.headers)() or []
    except SystemError:
        return []


def _raise_unless_passing(message: Any, complaints: Complaints) -> None:
    error = message.error()
    if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
        raise OffsetGone(f"{message.topic()}/{message.partition()}: {error.str()}")
    if error.fatal() or error.code() not in _PASSING:
        raise KafkaException(error)
    if complaints.due():
        log.warning("kafka reader waits for the broker", error=error.name())
