"""A pool's ledger as records that can be read again from the start, from Kafka or from an export."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
from confluent_kafka import KafkaError, KafkaException

from contract.bounds import MESSAGE_BYTES_MAX, visible
from contract.topics import JOBS, LEDGER
from runtime.kafka import OffsetGone, Reader, offsets, partitions, read_range
from runtime.kafka_credentials import Brokers

SAID_CHARACTERS_MAX = 300
"""Of what a decoder says of a line: it quotes the line."""
LINE_BYTES_MAX = 4 * MESSAGE_BYTES_MAX
"""Of one line of an export, in which a record may stand in base64. A longer line is read as several."""
_NO_PARTITION = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION)


class LedgerRecord(NamedTuple):
    offset: int
    at_ms: int
    """Append time by the broker's clock."""
    value: bytes


class JobsRecord(NamedTuple):
    """A record of `jobs` that still has a value: compaction, tombstones and retention may have taken others away."""

    offset: int
    at_ms: int
    key: str
    value: bytes
    headers: tuple[tuple[str, bytes | None], ...] = ()


LedgerSource = Callable[[], Iterator[LedgerRecord]]
"""Reads a ledger in the log's order. Every call reads the same records again."""


class JobUnknown(LookupError):
    """The ledger of the job's pool says nothing of the job. The message says expected, found, and what to do."""


class ExportUnreadable(ValueError):
    """A file is not an exported ledger. The message names file and line, what was expected and what was found."""


class ExportLine(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """One line of an export. A record that is JSON on one line stands there as it is; any other record, which somebody
    must have edited, stands there in base64."""

    offset: int
    at_ms: int
    record: msgspec.Raw = msgspec.Raw()
    base64: str = ""


_line = msgspec.json.Decoder(ExportLine)


def ledger_of_partition(brokers: Brokers, partition: int) -> tuple[LedgerSource, int]:
    """The ledger in this partition up to now, and its end offset. Records that are appended later are not read.

    KafkaException when the broker can't be reached."""
    read, high = ledger_from(brokers, partition)
    return lambda: read(0), high


def ledger_from(brokers: Brokers, partition: int) -> tuple[Callable[[int], Iterator[LedgerRecord]], int]:
    """A function that reads the ledger in this partition from any offset up to now, and the end offset. The partition
    may be missing while no scheduler has opened the pool: then the ledger is empty. KafkaException."""
    low, high = _ends(brokers, LEDGER, partition)

    def read(first: int) -> Iterator[LedgerRecord]:
        for record in read_range(brokers, LEDGER, partition, max(low, first), high):
            yield LedgerRecord(record.offset, record.timestamp_ms, record.value or b"")

    return read, high


def ledger_growing(
    brokers: Brokers, partition: int, over: Callable[[], bool]
) -> Callable[[int], Iterator[LedgerRecord]]:
    """A function that reads the ledger in this partition from any offset on, and goes on with what is appended, until
    `over` returns True. `over` is asked at least every half second. KafkaException."""

    def read(first: int) -> Iterator[LedgerRecord]:
        low, _ = _ends(brokers, LEDGER, partition)
        reader = Reader(brokers, {(LEDGER, partition): max(low, first)}, client_id="headrace-following")
        try:
            while not over():
                for record in reader.read(0.5):
                    yield LedgerRecord(record.offset, record.timestamp_ms, record.value or b"")
        finally:
            reader.close()

    return read


def jobs_of_partition(brokers: Brokers, partition: int, end: int | None = None) -> tuple[Iterator[JobsRecord], int]:
    """The records of `jobs` that are still there, up to offset `end` or to the partition's end, and the offset of the
    first record that is kept. KafkaException."""
    low, high = _ends(brokers, JOBS, partition)
    end = high if end is None else min(end, high)

    def read() -> Iterator[JobsRecord]:
        for record in read_range(brokers, JOBS, partition, low, end):
            if record.value:
                headers = tuple(record.headers)
                yield JobsRecord(record.offset, record.timestamp_ms, key_text(record.key), record.value, headers)

    return read(), low


def key_text(key: bytes | None) -> str:
    """The key as text, from which `key_bytes` makes the same bytes: bytes that are no UTF-8 become half characters."""
    return (key or b"").decode("utf-8", "surrogateescape")


def key_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _ends(brokers: Brokers, topic: str, partition: int) -> tuple[int, int]:
    """(offset of the first record that is kept, offset of the next record to be written); both 0 when the topic exists
    without this partition. KafkaException when the broker can't be reached or can't tell."""
    try:
        return offsets(brokers, topic, partition)
    except KafkaException as error:
        if error.args[0].code() not in _NO_PARTITION:
            raise
        try:
            known = partitions(brokers, topic)
        except OffsetGone:
            raise error from None
        if partition < known:
            raise
        return 0, 0


def ledger_of_file(path: Path) -> LedgerSource:
    """The ledger in a file that `export` wrote. ExportUnreadable, also during the reading, when the file is no export.

    A later line that can't be read (somebody edited it, or the file was cut there) stands for the record that should be
    there: whoever judges the ledger finds the damage at that record's offset."""

    def read() -> Iterator[LedgerRecord]:
        last: LedgerRecord | None = None
        try:
            with path.open("rb") as file:
                for number, raw in enumerate(iter(partial(file.readline, LINE_BYTES_MAX), b""), 1):
                    if not raw.strip():
                        continue
                    try:
                        last = _record(path, number, raw)
                    except ExportUnreadable:
                        if last is None:
                            raise
                        last = LedgerRecord(last.offset + 1, last.at_ms, raw)
                    yield last
        except OSError as error:
            raise ExportUnreadable(f"expected an exported ledger at {path}, found {error.strerror}") from None

    if not path.is_file():
        raise ExportUnreadable(f"expected an exported ledger (JSON lines) at {path}, found no file there")
    if not path.stat().st_size:
        raise ExportUnreadable(f"expected an exported ledger (JSON lines) at {path}, found an empty file")
    return read


def _record(path: Path, number: int, raw: bytes) -> LedgerRecord:
    try:
        line = _line.decode(raw)
        value = bytes(line.record) if line.record else base64.b64decode(line.base64, validate=True)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        found = visible(str(error))[:SAID_CHARACTERS_MAX]
        raise ExportUnreadable(
            f"{path} line {number}: expected a line that `headrace audit export` wrote, found {found}"
        ) from None
    return LedgerRecord(line.offset, line.at_ms, value)


def line_of(record: LedgerRecord) -> bytes:
    """The line of an export from which exactly this record is read again."""
    try:
        msgspec.json.decode(record.value)
        plain = b"\n" not in record.value and b"\r" not in record.value and record.value.strip() == record.value
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        plain = False
    if plain:
        line = ExportLine(record.offset, record.at_ms, record=msgspec.Raw(record.value))
    else:
        line = ExportLine(record.offset, record.at_ms, base64=base64.b64encode(record.value).decode())
    return msgspec.json.encode(line) + b"\n"
