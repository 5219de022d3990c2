"""Single records by offset, for callers that ask for many: on a lasting connection, reading ahead."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from runtime.kafka_credentials import Brokers
from runtime.kafka_reader import new_consumer, record_of
from runtime.kafka_records import METADATA_TIMEOUT_S, Record

AHEAD_RECORDS = 500
AHEAD_WAIT_S = 0.01
FAILURES_MAX = 3
"""After so many reads that failed in a row the client is made anew: after a fatal error a client never reads again."""
KEPT_BYTES_MAX = 16 * 1024 * 1024
_GONE = (KafkaError._PARTITION_EOF, KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)


class Lookup:
    """Records of one topic. May be used from any thread; one thread reads at a time.

    A caller that wants the record at an offset mostly wants the next records soon. These are kept, in memory only,
    until somebody asks for them once or newer records need the room."""

    def __init__(self, brokers: Brokers, topic: str, *, client_id: str) -> None:
        self._topic = topic
        self._brokers, self._client_id = brokers, client_id
        self._consumer = self._new_consumer()
        self._failures = 0
        """Reads that failed, one after the other."""
        self._kept: OrderedDict[tuple[int, int], Record] = OrderedDict()
        self._kept_bytes = 0
        self._lock = threading.Lock()

    def at(self, partition: int, offset: int) -> Record | None:
        """The record; None when the record was compacted away, retained out, or not yet written. KafkaException when
        the broker does not answer."""
        with self._lock:
            kept = self._kept.pop((partition, offset), None)
            if kept is not None:
                self._kept_bytes -= _size(kept)
                return kept
            try:
                found = self._read(partition, offset)
            except KafkaException:
                self._failures += 1
                if self._failures >= FAILURES_MAX:
                    self._renew()
                raise
            self._failures = 0
            return found

    def close(self) -> None:
        with self._lock:
            self._consumer.close()

    def _new_consumer(self) -> Any:
        return new_consumer(self._brokers, self._client_id, {"enable.partition.eof": True})

    def _renew(self) -> None:
        with suppress(KafkaException):  # the client is broken, and an error at its end changes nothing
            self._consumer.close()
        self._consumer, self._failures = self._new_consumer(), 0

    def _read(self, partition: int, offset: int) -> Record | None:
        self._consumer.assign([TopicPartition(self._topic, partition, offset)])
        try:
            first = self._consumer.poll(METADATA_TIMEOUT_S)
            if first is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"reading {self._topic}/{partition}"))
            if first.error() is not None:
                if first.error().code() in _GONE:
                    return None
                raise KafkaException(first.error())
            behind = self._consumer.consume(AHEAD_RECORDS, AHEAD_WAIT_S)
        finally:
            self._consumer.unassign()
        wanted = None
        for record in map(record_of, [first, *(m for m in behind if m.error() is None)]):
            if record.offset == offset:
                wanted = record
            else:
                self._keep(record)
        return wanted

    def _keep(self, record: Record) -> None:
        place = (record.partition, record.offset)
        if place not in self._kept:
            self._kept[place] = record
            self._kept_bytes += _size(record)
        while self._kept_bytes > KEPT_BYTES_MAX:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= _size(oldest)


def _size(record: Record) -> int:
    return len(record.value or b"") + 200
