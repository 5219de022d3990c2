"""What the producer and the reader share: a record, a delivery, and how a client behaves while a broker is away."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

RecordHeaders = Sequence[tuple[str, bytes]]

MESSAGE_BYTES_MAX = 2 * 1024 * 1024
"""The largest record any topic takes (`ledger`); each topic's own limit is in contract.topics."""

CLIENT: dict[str, str | int | float] = {
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1_000,
    "log_level": 0,  # lines of its own on stderr, several for each try to connect: we log what it reports to us
    "broker.address.family": "v4",
}
"""Settings of every client of ours."""


COMPLAIN_EVERY_S = 5.0


class Complaints:
    """A broker that is away is reported many times a second: what to log of it is one line every few seconds."""

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
    """A value may be None, whatever the type says: senders may leave it out."""
    follows: int | None = None
    """Proven by the fetch that brought this record: the log holds no record from this offset up to its own, only
    markers of transactions and what was aborted, compacted or expired. None: nothing was proven."""


class Delivery(NamedTuple):
    """The broker's acknowledgement of one record."""

    partition: int
    offset: int
    timestamp_ms: int


class DeliveryUnclear(Exception):
    """A record may or may not be in the log. The message says why, and nothing of the record."""


class DeliveryRefused(DeliveryUnclear):
    """The broker takes no record as large as this one in its topic: it is not in the log, and to send it again as it is
    changes nothing. Whoever does not tell the two apart may treat it as unclear."""


class OffsetGone(Exception):
    """The record asked for is no longer, or not yet, in the log."""
