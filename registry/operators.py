"""What operators tell schedulers: records in `jobs`, each in the partition of a pool."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from contract import signers
from contract.inputs import (
    ClusterActivated,
    ClusterDrainRequested,
    HoldRequested,
    NodeCordonRequested,
    NodeUncordonRequested,
    PolicyApplied,
    ReleaseRequested,
    WithdrawRequested,
)
from runtime import jobs_writer
from runtime.kafka import Producer
from runtime.settings import Settings

OperatorRecord = (
    PolicyApplied
    | ClusterDrainRequested
    | ClusterActivated
    | NodeCordonRequested
    | NodeUncordonRequested
    | HoldRequested
    | ReleaseRequested
    | WithdrawRequested
)


def send(settings: Settings, record: OperatorRecord, partitions: Iterable[int], source: str) -> None:
    """Writes the record to these partitions of `jobs`. `source` is its CloudEvents source.

    WrongSigner when the settings have the key of somebody else. DeliveryUnclear when a broker did not confirm: send the
    record again. A second copy changes nothing."""
    signer = jobs_writer.signer_of(settings, signers.OPERATOR)
    producer = Producer(settings.brokers, "headrace-operator")
    try:
        for partition in partitions:
            event_id = uuid.uuid4().hex
            signed = signer.record(record, partition=partition, key=event_id.encode(), event_id=event_id, source=source)
            jobs_writer.send_and_wait(producer, signed)
    finally:
        producer.close()
