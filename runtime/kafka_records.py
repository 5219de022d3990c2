"""What producer and reader share: a record, a delivery, and how a client behaves while a broker is away."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

RecordHeaders = Sequence[tuple[str, bytes]]

CLIENT: dict[str, str | int | float] = {
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1_000,
    "log_level": 0,  # else the library writes several lines for each try to connect; we log what it reports to us
}
"""Settings of every client of ours."""

METADATA_TIMEOUT_S = 10.0
"""How long a broker may take to answer a question about topics and offsets."""

COMPLAIN_EVERY_S = 5.0


class Complaints:
    """Limits log lines: the library reports a broker that is away many times a second, the log every few seconds."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def due(self) -> bool:
        now_s = time.monotonic()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + COMPLAIN_EVERY_S
        return True


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """Broker's append time on topics with LogAppendTime (all of ours)."""
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    """A header's value may be None, whatever the type says: senders may leave the value out."""
    follows: int | None = None
    """The fetch that brought this record proved that the log holds no record from offset `follows` up to this record:
    only markers of transactions and what was aborted, compacted or expired. None: the fetch proved nothing."""


class Delivery(NamedTuple):
    """The broker's acknowledgement of one record."""

    partition: int
    offset: int
    timestamp_ms: int


class DeliveryUnclear(Exception):
    """A record may or may not be in the log. The message says why, and nothing of the record."""


class DeliveryRefused(DeliveryUnclear):
    """The broker takes no record of this size in the topic. The record is not in the log, and sending the same record
    again changes nothing. A caller that does not tell the two apart may treat a refusal as unclear."""


class OffsetGone(Exception):
    """The log holds the record no more, or not yet."""
