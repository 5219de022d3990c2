"""Passing a record of `submissions` through intake once more: a copy of the record is written behind the others."""

from __future__ import annotations

from contract.topics import SUBMISSIONS
from runtime.kafka import Delivery, Producer, read_one
from runtime.settings import Settings


class CannotResubmit(ValueError):
    """The topic keeps the record no longer. The message says what was expected, what was found, and what to do."""


def resubmit(settings: Settings, producer: Producer, partition: int, offset: int) -> Delivery:
    """Write the record at `offset` of this partition of `submissions` to the same partition again, with its key,
    headers and value. The same CloudEvents source and id make the same job, so nothing changes if the job exists.

    CannotResubmit when the topic keeps the record no longer; DeliveryUnclear and DeliveryRefused as the producer."""
    record = read_one(settings.brokers, SUBMISSIONS, partition, offset)
    if record is None:
        raise CannotResubmit(
            f"expected a record at offset {offset} of partition {partition} of `submissions`, found none: the topic"
            " keeps records for a few days only; have its producer send it again"
        )
    return producer.send_and_wait(
        SUBMISSIONS, record.value, key=record.key, headers=record.headers, partition=partition
    )
