"""Reading fetches of aiokafka completely: every batch that a broker took is read, and gaps come with their proof.

Theory of operation. aiokafka walks the batches of a fetch and passes over aborted batches and markers. What that proves
about the log (streams.hosting.gaps) aiokafka does not tell. It unpacks a batch however large that becomes; here the
batch is unpacked within a bound (streams.hosting.unpacking). And at a batch that it cannot read (a header whose name
is not UTF-8) it stops for ever: the consumer ends, and so does its successor, until the
record expires. Here such a batch is read leniently by us. A batch that cannot be read at all becomes one record with an
empty value, which every door of ours refuses. A broker checks little of what is inside a batch, so a record may claim
any offset. The claim is believed only within the offsets that the broker gave the batch, and only in order.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import structlog
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.legacy_records import LegacyRecordBatch

from runtime.kafka_records import Complaints, Record
from streams.hosting.gaps import PROVEN
from streams.hosting.unpacking import PADDING, codec_of, unpacked

_LENGTH_AT, _MAGIC_AT, _OVERHEAD = 8, 16, 12
_MAGIC_WITH_HEADERS = 2

log = structlog.get_logger(__name__)
_complaints = Complaints()


class Misplaced(Exception):
    """A record claims an offset outside its batch, or out of order."""


class FetchedBatches:
    """The batches in the bytes of one fetch, as aiokafka's fetcher asks for them."""

    def __init__(self, data: bytes) -> None:
        self._data, self._size, self._at = memoryview(data + PADDING), len(data), 0
        self.partition: Any = None
        """Topic and partition, for the log."""

    def size_in_bytes(self) -> int:
        return self._size

    def has_next(self) -> bool:
        return self._end() <= self._size

    def next_batch(self) -> FetchedBatch | None:
        """None when the rest is not a whole batch: a broker cuts a fetch anywhere."""
        end = self._end()
        if end > self._size:
            return None
        raw, self._at = self._data[self._at : end], end
        return FetchedBatch(raw, self.partition)

    def _end(self) -> int:
        """Where the next batch ends; beyond the data when that batch is not whole."""
        head = self._at + _OVERHEAD
        if head > self._size:
            return head
        return head + int.from_bytes(self._data[self._at + _LENGTH_AT : head], "big")


class FetchedBatch:
    """One batch: aiokafka's own, except that we unpack it, and read the records that aiokafka cannot read."""

    def __init__(self, raw: memoryview, partition: Any) -> None:
        magic = raw[_MAGIC_AT]
        self._raw, self._magic, self._partition = raw, magic, partition
        self._inner: Any = DefaultRecordBatch(raw) if magic >= _MAGIC_WITH_HEADERS else LegacyRecordBatch(raw, magic)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __next__(self) -> Any:
        return next(self._inner)

    def __iter__(self) -> Iterator[Any]:
        if self._magic < _MAGIC_WITH_HEADERS:
            yield from self._inner
            return
        raw, read, last = self._raw, 0, self.base_offset - 1
        try:
            raw = unpacked(raw)
            for record in DefaultRecordBatch(raw):
                yield self._in_place(record, last)
                read, last = read + 1, record.offset
        except Exception as error:  # whatever a sender packed: the consumer reads on
            yield from self._leniently(raw, read, last, error)

    def _leniently(self, raw: memoryview, read: int, last: int, error: Exception) -> Iterator[Any]:
        """The records behind the first `read` ones, the last of which lies at offset `last`. When we cannot read them
        either, one record without a value stands for all of them."""
        try:
            for record in islice(_records_of(raw), read, None):
                yield self._in_place(record, last)
                last = record.offset
        except Exception as failure:  # as above: a door refuses the one record that stands for the batch
            if _complaints.due():
                log.error(
                    "a batch of records cannot be unpacked; its records count as one, which is refused",
                    topic=self._partition.topic,
                    partition=self._partition.partition,
                    offset=last + 1,
                    next_offset=self.next_offset,
                    found=type(error).__name__,
                    then=type(failure).__name__,
                )
            if last + 1 < self.next_offset:
                yield _DefaultRecordPy(last + 1, self.max_timestamp, self.timestamp_type, None, b"", [])

    def _in_place(self, record: Any, last: int) -> Any:
        """The record. Misplaced unless it claims an offset behind `last` and inside this batch."""
        if not last < record.offset < self.next_offset:
            raise Misplaced
        return record


class FetchedRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of one fetch of one partition, as records of ours. Each says from which offset on the log is empty up
    to it (Record.follows)."""

    def __init__(self, tp: Any, records: Any, aborted: Any, fetch_offset: int, *settings: Any) -> None:
        super().__init__(tp, records, aborted, fetch_offset, *settings)
        records.partition = tp
        self._empty_from = PROVEN.start_of(tp.topic, tp.partition, fetch_offset)

    def __next__(self) -> Record:
        try:
            record: Record = super().__next__()
        except StopIteration:
            PROVEN.prove(self._tp.topic, self._tp.partition, self._empty_from, self.next_fetch_offset)
            self._empty_from = self.next_fetch_offset
            raise
        return record

    def _consumer_record(self, tp: Any, record: Any) -> Record:
        follows, self._empty_from = self._empty_from, record.offset + 1
        return Record(
            tp.topic,
            tp.partition,
            record.offset,
            record.timestamp,
            record.key,
            record.value,
            record.headers,
            follows,
        )


def fetch_safely() -> None:
    """Have every aiokafka consumer of this process read its fetches through the classes of this module."""
    fetcher.MemoryRecords, fetcher.PartitionRecords = FetchedBatches, FetchedRecords


def _records_of(raw: memoryview) -> Iterator[_DefaultRecordPy]:
    """The records of a batch, as far as they can be read. Names of headers may be any bytes."""
    if codec_of(raw):
        raise ValueError("expected a batch that could be unpacked")
    batch = _DefaultRecordBatchPy(bytes(raw))
    buffer, at = batch._buffer, batch._pos
    for _ in range(batch._num_records):
        length, at = _number_at(buffer, at)
        end = at + length
        at += 1  # attributes, of which there are none
        timestamp_delta, at = _number_at(buffer, at)
        offset_delta, at = _number_at(buffer, at)
        key, at = _bytes_at(buffer, at)
        value, at = _bytes_at(buffer, at)
        number, at = _number_at(buffer, at)
        headers = []
        for _ in range(number):
            name, at = _bytes_at(buffer, at)
            text, at = _bytes_at(buffer, at)
            headers.append(((name or b"").decode("utf-8", "backslashreplace"), text))
        if at != end or end > len(buffer):
            raise ValueError("expected a record as long as it says")
        by_broker = batch.timestamp_type == batch.LOG_APPEND_TIME
        timestamp = batch.max_timestamp if by_broker else batch.first_timestamp + timestamp_delta
        offset = batch.base_offset + offset_delta
        yield _DefaultRecordPy(offset, timestamp, batch.timestamp_type, key, value, headers)


def _bytes_at(buffer: Any, at: int) -> tuple[bytes | None, int]:
    """The bytes at `at`, which come after their length, and where they end. None for a length below 0."""
    length, at = _number_at(buffer, at)
    if length < 0:
        return None, at
    if length > len(buffer) - at:
        raise ValueError("expected as many bytes as are there")
    return bytes(buffer[at : at + length]), at + length


def _number_at(buffer: Any, at: int) -> tuple[int, int]:
    """The whole number at `at`, in zigzag code of 7 bits a byte, and where it ends. (aiokafka's own function reads
    beyond the buffer.)"""
    coded = 0
    for shift in range(0, 70, 7):
        byte = buffer[at]
        at += 1
        coded |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (coded >> 1) ^ -(coded & 1), at
    raise ValueError("expected a number of at most ten bytes")
