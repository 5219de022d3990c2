"""What the producer and the reader share: a record, a delivery, and how a client behaves while a broker is away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Headers = Sequence[tuple[str, bytes]]

MESSAGE_BYTES_MAX = 2 * 1024 * 1024
"""The largest record any topic takes (`ledger`); each topic's own limit is in contract.topics."""

CLIENT: dict[str, str | int | float] = {
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1_000,
    "log_level": 3,  # errors: a restarting broker would fill the logs with warnings
    "broker.address.family": "v4",
}
"""Settings of every client of ours."""


class Record(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """Broker's append time on topics with LogAppendTime (all of ours)."""
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class Delivery(NamedTuple):
    """The broker's acknowledgement of one record."""

    partition: int
    offset: int
    timestamp_ms: int


class DeliveryUnclear(Exception):
    """A record may or may not be in the log. The message says why, and nothing of the record."""


class OffsetGone(Exception):
    """The record asked for is no longer, or not yet, in the log."""
