"""Setting aside a record that cannot be acted on: in `quarantine`, acknowledged, before anything says so."""

from __future__ import annotations

import base64
import uuid

from contract.codec import encode, headers_for
from contract.doors import Quarantined
from contract.topics import QUARANTINE
from runtime.kafka import Producer
from streams.metrics import QUARANTINED

VALUE_BYTES_MAX = 64 * 1024


async def set_aside(
    producer: Producer, source: str, topic: str, partition: int, offset: int, reason: str, value: bytes | None
) -> None:
    """Write the record and the reason to `quarantine`. DeliveryUnclear when the broker does not take it.

    After an unclear delivery the record may be there twice: topic, partition and offset name it."""
    record = Quarantined(
        topic=topic,
        partition=partition,
        offset=offset,
        reason=reason,
        value_base64=base64.b64encode((value or b"")[:VALUE_BYTES_MAX]).decode(),
    )
    headers = headers_for(record, uuid.uuid4().hex, source)
    await producer.asend(QUARANTINE, encode(record), headers=headers)
    QUARANTINED.labels(topic).inc()
