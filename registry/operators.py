"""What operators tell schedulers: records in `jobs`, each in the partition of a pool."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from contract.codec import encode, headers_for
from contract.inputs import ClusterActivated, ClusterDrainRequested, PolicyApplied
from contract.topics import JOBS
from runtime.kafka import Producer
from runtime.settings import Settings

OperatorRecord = PolicyApplied | ClusterDrainRequested | ClusterActivated


def send(settings: Settings, record: OperatorRecord, partitions: Iterable[int], source: str) -> None:
    """Writes the record to these partitions of `jobs`. `source` is its CloudEvents source.

    DeliveryUnclear when a broker did not confirm: send the record again. A second copy changes nothing."""
    producer = Producer(settings.kafka, "headrace-operator")
    try:
        for partition in partitions:
            event_id = uuid.uuid4().hex
            producer.send_and_wait(
                JOBS,
                encode(record),
                key=event_id.encode(),
                headers=headers_for(record, event_id, source),
                partition=partition,
            )
    finally:
        producer.close()
