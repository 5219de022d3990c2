"""What was set aside: the records of the topic `quarantine`, for an operator.

Theory of operation. Whoever sets a record aside writes where the record lies (topic, partition, offset), the reason in
our words, and as many of the record's first bytes as fit. Anybody may have written those bytes, so nothing here takes
them for more than bytes. The record itself, with key and headers, is read from where it lies, while it is kept there.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from contract.bounds import visible as visible
from contract.codec import Malformed, decode_quarantined
from contract.side_topics import Quarantined
from contract.topics import QUARANTINE
from runtime.kafka import OffsetGone, Record, offsets, partitions, read_one, read_range
from runtime.kafka_credentials import Brokers

CHUNK_RECORDS = 500
"""Records that are read at once, from the end backwards: 24 MB at most."""

_PLACE = re.compile(r"([a-z0-9._-]{1,249})/([0-9]{1,9})/([0-9]{1,18})")


class PlaceInvalid(ValueError):
    """The text does not name a record. The message says expected and found."""


class Place(NamedTuple):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


class SetAside(msgspec.Struct, frozen=True):
    """A record that was set aside, as `quarantine` tells."""

    at_ms: int
    """When it was set aside, by the broker's clock."""
    place: Place
    reason: str
    value_bytes: int
    """How many bytes the record's value had."""
    value: bytes
    """The first of those bytes, perhaps all. Empty in a list."""


class TopicCounts(msgspec.Struct, frozen=True):
    """How many records of one topic were set aside."""

    topic: str
    last_hour: int
    kept: int
    """All that were counted: see `counts`."""
    newest: SetAside


def place_of(text: str) -> Place:
    """The place that `topic/partition/offset` names. PlaceInvalid."""
    match = _PLACE.fullmatch(text)
    if match is None:
        raise PlaceInvalid(f"expected a record like submissions/0/17 (topic, partition, offset), found {text[:80]!r}")
    return Place(match[1], int(match[2]), int(match[3]))


def newest(brokers: Brokers, limit: int) -> list[SetAside]:
    """At most `limit` records, newest first. KafkaException when the broker does not answer."""
    found: list[SetAside] = []
    for entry in _backwards(brokers):
        found.append(msgspec.structs.replace(entry, value=b""))
        if len(found) == limit:
            break
    return found


def find(brokers: Brokers, place: Place) -> SetAside | None:
    """What was said last of the record at this place; None when it was not set aside, or that is no longer kept.
    KafkaException."""
    return next((entry for entry in _backwards(brokers) if entry.place == place), None)


def counts(brokers: Brokers, since_ms: int, records_max: int) -> tuple[list[TopicCounts], bool]:
    """How many records of each topic were set aside, sorted by topic, and whether these are all that are kept: only the
    newest `records_max` are counted. `last_hour` counts records since `since_ms`. KafkaException."""
    found: dict[str, TopicCounts] = {}
    for counted, entry in enumerate(_backwards(brokers)):
        if counted == records_max:
            return _sorted(found), False
        entry = msgspec.structs.replace(entry, value=b"")
        topic = entry.place.topic
        known = found.get(topic, TopicCounts(topic, 0, 0, entry))
        found[topic] = TopicCounts(topic, known.last_hour + (entry.at_ms >= since_ms), known.kept + 1, known.newest)
    return _sorted(found), True


def original(brokers: Brokers, place: Place) -> Record | None:
    """The record itself, with key and headers; None when the topic no longer keeps it. KafkaException."""
    try:
        there = place.partition < partitions(brokers, place.topic)
    except OffsetGone:
        return None
    return read_one(brokers, place.topic, place.partition, place.offset) if there else None


def text_of(raw: bytes) -> str:
    """Bytes that anybody may have written, as such a text."""
    return visible(raw.decode("utf-8", "backslashreplace"))


def _sorted(found: dict[str, TopicCounts]) -> list[TopicCounts]:
    return [found[topic] for topic in sorted(found)]


def _backwards(brokers: Brokers) -> Iterator[SetAside]:
    low, end = offsets(brokers, QUARANTINE, 0)
    while end > low:
        begin = max(low, end - CHUNK_RECORDS)
        try:
            records = list(read_range(brokers, QUARANTINE, 0, begin, end))
        except OffsetGone:  # retention took the records meanwhile
            return
        yield from map(entry_of, reversed(records))
        end = begin


def entry_of(record: Record) -> SetAside:
    """What a record of `quarantine` says. A record that can't be read says so, and gives its own place."""
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
