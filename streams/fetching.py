"""What aiokafka makes of a fetch, made total: every batch that a broker took is read, and gaps come with their proof.

Theory of operation. aiokafka walks the batches of a fetch and passes over aborted ones and markers; what it thereby
proves of the log (streams.gaps) it keeps to itself. And it stops for ever at a batch that it cannot unpack: a header
whose name is not UTF-8, a codec that is not installed; the consumer ends, its successor too, until the record expires.
Here such a batch is read by us, leniently; one that cannot be read at all becomes one record with an empty value, which
every door of ours refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import structlog
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.record.util import decode_varint

from runtime.kafka_records import Record
from streams.gaps import PROVEN

_LENGTH_AT, _MAGIC_AT, _OVERHEAD = 8, 16, 12
_MAGIC_WITH_HEADERS = 2

log = structlog.get_logger(__name__)


class Batches:
    """The batches in the bytes of one fetch, as aiokafka's fetcher asks for them."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = memoryview(data), 0

    def size_in_bytes(self) -> int:
        return len(self._data)

    def has_next(self) -> bool:
        return self._end() <= len(self._data)

    def next_batch(self) -> Batch | None:
        """None when the rest is no whole batch: a broker cuts a fetch anywhere."""
        end = self._end()
        if end > len(self._data):
            return None
        raw, self._at = self._data[self._at : end], end
        return Batch(raw)

    def _end(self) -> int:
        """Where the next batch ends; beyond the data when it is not whole."""
        length = self._data[self._at + _LENGTH_AT : self._at + _OVERHEAD]
        whole = len(length) == _OVERHEAD - _LENGTH_AT
        return self._at + _OVERHEAD + int.from_bytes(length, "big") if whole else len(self._data) + 1


class Batch:
    """One batch: aiokafka's own, but for records that it cannot unpack."""

    def __init__(self, raw: memoryview) -> None:
        magic = raw[_MAGIC_AT]
        self._raw, self._magic = raw, magic
        self._inner: Any = DefaultRecordBatch(raw) if magic >= _MAGIC_WITH_HEADERS else LegacyRecordBatch(raw, magic)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __next__(self) -> Any:
        return next(self._inner)

    def __iter__(self) -> Iterator[Any]:
        offset = -1
        try:
            for record in self._inner:
                offset = record.offset
                yield record
        except Exception as error:
            if self._magic < _MAGIC_WITH_HEADERS:
                raise
            yield from self._leniently(offset, error)

    def _leniently(self, after: int, error: Exception) -> Iterator[_DefaultRecordPy]:
        """The records behind offset `after`: read by us, else one without a value for all of them."""
        try:
            read = _records_of(self._raw)
        except Exception as failure:
            offset = max(after + 1, self.base_offset)
            log.error(
                "a batch of records cannot be unpacked; its records count as one, which is refused",
                offset=offset,
                records=self.next_offset - offset,
                found=type(error).__name__,
                then=type(failure).__name__,
            )
            read = [_DefaultRecordPy(offset, self.max_timestamp, self.timestamp_type, None, b"", [])]
        yield from (record for record in read if record.offset > after)


class Fetched(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of one fetch of one partition, as records of ours, each with what it follows."""

    def __init__(self, tp: Any, records: Any, aborted: Any, fetch_offset: int, *settings: Any) -> None:
        super().__init__(tp, records, aborted, fetch_offset, *settings)
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
    """Have every aiokafka consumer of this process read its fetches this way."""
    fetcher.MemoryRecords, fetcher.PartitionRecords = Batches, Fetched


def _records_of(raw: memoryview) -> list[_DefaultRecordPy]:
    """The records of a batch with headers, whose names may be any bytes."""
    batch = _DefaultRecordBatchPy(bytes(raw))
    batch._maybe_uncompress()
    buffer, at, read = batch._buffer, batch._pos, []
    for _ in range(batch._num_records):
        length, at = decode_varint(buffer, at)
        end = at + length
        _, at = decode_varint(buffer, at)  # attributes, of which there are none
        timestamp_delta, at = decode_varint(buffer, at)
        offset_delta, at = decode_varint(buffer, at)
        key, at = _bytes_at(buffer, at)
        value, at = _bytes_at(buffer, at)
        number, at = decode_varint(buffer, at)
        headers = []
        for _ in range(number):
            name, at = _bytes_at(buffer, at)
            text, at = _bytes_at(buffer, at)
            headers.append(((name or b"").decode("utf-8", "backslashreplace"), text))
        if at != end or end > len(buffer):
            raise ValueError("expected a record of the length it says")
        by_broker = batch.timestamp_type == batch.LOG_APPEND_TIME
        timestamp = batch.max_timestamp if by_broker else batch.first_timestamp + timestamp_delta
        offset = batch.base_offset + offset_delta
        read.append(_DefaultRecordPy(offset, timestamp, batch.timestamp_type, key, value, headers))
    return read


def _bytes_at(buffer: Any, at: int) -> tuple[bytes | None, int]:
    """Bytes with their length before them, and what comes behind; None for a length below 0."""
    length, at = decode_varint(buffer, at)
    return (None, at) if length < 0 else (bytes(buffer[at : at + length]), at + length)
