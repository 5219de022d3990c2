"""What was set aside: the records of the topic `quarantine`, for an operator.

Theory of operation. Who sets a record aside writes where it lies (topic, partition, offset), the reason in our words,
and as many of its first bytes as fit. Those bytes were written by anybody: nothing here takes them for more than bytes.
The record itself is read again from where it lies while it is kept there: only there it has its key and headers.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from contract.codec import Malformed, decode_quarantined
from contract.side_topics import Quarantined
from contract.topics import QUARANTINE
from runtime.kafka import OffsetGone, Record, offsets, partitions, read_one, read_range

CHUNK_RECORDS = 500
"""Read at once from the end backwards: 24 MB at most."""

_PLACE = re.compile(r"([a-z0-9._-]{1,249})/([0-9]{1,9})/([0-9]{1,18})")


class PlaceInvalid(ValueError):
    """The text names no record. The message says expected and found."""


class Place(NamedTuple):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class SetAside(msgspec.Struct, frozen=True):
    """A record of `quarantine`."""

    at_ms: int
    """When it was set aside, by the broker's clock."""
    place: Place
    reason: str
    value_bytes: int
    """How many the record's value had."""
    value: bytes
    """The first of them, perhaps all. Empty in a list."""


class TopicCounts(msgspec.Struct, frozen=True):
    """Of one topic."""

    topic: str
    last_hour: int
    kept: int
    """Of the records that were counted: see `counts`."""
    newest: SetAside


def place_of(text: str) -> Place:
    """The record that `topic/partition/offset` names. PlaceInvalid."""
    match = _PLACE.fullmatch(text)
    if match is None:
        raise PlaceInvalid(f"expected a record like submissions/0/17 (topic, partition, offset), found {text[:80]!r}")
    return Place(match[1], int(match[2]), int(match[3]))


def newest(bootstrap: str, limit: int) -> list[SetAside]:
    """The newest records, newest first, at most `limit`. KafkaException when the broker does not answer."""
    found: list[SetAside] = []
    for entry in _backwards(bootstrap):
        found.append(msgspec.structs.replace(entry, value=b""))
        if len(found) == limit:
            break
    return found


def find(bootstrap: str, place: Place) -> SetAside | None:
    """The newest word on this record; None when it was not set aside, or that is no longer kept. KafkaException."""
    return next((entry for entry in _backwards(bootstrap) if entry.place == place), None)


def counts(bootstrap: str, since_ms: int, records_max: int) -> tuple[list[TopicCounts], bool]:
    """How many records of each topic were set aside, by name of the topic, and whether these are all that are kept:
    only the newest `records_max` are counted. `last_hour`: those since `since_ms`. KafkaException."""
    found: dict[str, TopicCounts] = {}
    for counted, entry in enumerate(_backwards(bootstrap)):
        if counted == records_max:
            return _sorted(found), False
        entry = msgspec.structs.replace(entry, value=b"")
        topic = entry.place.topic
        known = found.get(topic, TopicCounts(topic, 0, 0, entry))
        found[topic] = TopicCounts(topic, known.last_hour + (entry.at_ms >= since_ms), known.kept + 1, known.newest)
    return _sorted(found), True


def original(bootstrap: str, place: Place) -> Record | None:
    """The record itself, with key and headers; None when it is no longer kept where it lay. KafkaException."""
    try:
        there = place.partition < partitions(bootstrap, place.topic)
    except OffsetGone:
        return None
    return read_one(bootstrap, place.topic, place.partition, place.offset) if there else None


def visible(text: str) -> str:
    """The text in one line that does nothing to a terminal: what can't be seen is written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def text_of(raw: bytes) -> str:
    """Bytes that anybody wrote, as such a text."""
    return visible(raw.decode("utf-8", "backslashreplace"))


def _sorted(found: dict[str, TopicCounts]) -> list[TopicCounts]:
    return [found[topic] for topic in sorted(found)]


def _backwards(bootstrap: str) -> Iterator[SetAside]:
    low, end = offsets(bootstrap, QUARANTINE, 0)
    while end > low:
        begin = max(low, end - CHUNK_RECORDS)
        try:
            records = list(read_range(bootstrap, QUARANTINE, 0, begin, end))
        except OffsetGone:  # retention took them meanwhile
            return
        yield from map(entry_of, reversed(records))
        end = begin


def entry_of(record: Record) -> SetAside:
    """A record of `quarantine`, whatever it holds: one that is none says so, and names itself."""
    try:
        said = decode_quarantined(record.value)
    except Malformed as malformed:
        raw = record.value or b""
        return SetAside(
            record.timestamp_ms, Place(record.topic, record.partition, record.offset), str(malformed), len(raw), raw
        )
    value = _value(said)
    return SetAside(
        record.timestamp_ms,
        Place(visible(said.topic), said.partition, said.offset),
        visible(said.reason),
        max(said.value_bytes, len(value)),
        value,
    )


def _value(said: Quarantined) -> bytes:
    try:
        return base64.b64decode(said.value_base64, validate=True)
    except (binascii.Error, ValueError):
        return b""
