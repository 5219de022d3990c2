"""Passing a record of `submissions` through intake once more: a copy of it is written behind the others."""

from __future__ import annotations

from contract.topics import SUBMISSIONS
from runtime.kafka import Delivery, Producer, read_one
from runtime.settings import Settings


class CannotResubmit(ValueError):
    """The record is not there any more. The message says what was expected, found, and what to do."""


def resubmit(settings: Settings, producer: Producer, partition: int, offset: int) -> Delivery:
    """Write the record at `offset` of this partition of `submissions` to the same partition again, as it is: its key,
    headers and value. The same CloudEvents source and id make the same job, so a job that exists changes nothing.

    CannotResubmit when it is no longer kept; DeliveryUnclear and DeliveryRefused as the producer."""
    record = read_one(settings.kafka, SUBMISSIONS, partition, offset)
    if record is None:
        raise CannotResubmit(
            f"expected a record at offset {offset} of partition {partition} of `submissions`, found none: the topic"
            " keeps records for a few days only; have its producer send it again"
        )
    return producer.send_and_wait(
        SUBMISSIONS, record.value, key=record.key, headers=record.headers, partition=partition
    )
