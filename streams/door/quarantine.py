"""Setting aside a record that cannot be acted on: `quarantine` has acknowledged it before anything says so.

The record of `quarantine` always fits: it is cut to bounds.REFUSAL_BYTES_MAX, which every topic takes whatever the
`payload_max` of the policy was when the topic was made.
"""

from __future__ import annotations

import base64
import time
import uuid

import structlog

from contract import bounds
from contract.codec import Headers, encode, headers_for
from contract.side_topics import Quarantined
from contract.topics import QUARANTINE
from runtime.kafka import DeliveryRefused, Producer
from streams.metrics import QUARANTINED, QUARANTINED_OFFSET

_FRAMING_BYTES_MAX = 1_024
"""What a batch of one record adds to the value and headers of the record: lengths, offsets, checksums."""
_LINES_MAX, _LINES_EVERY_S = 10, 10.0
"""At most so many lines of the log in so many seconds."""

log = structlog.get_logger(__name__)


async def set_aside(
    producer: Producer, source: str, topic: str, partition: int, offset: int, reason: str, value: bytes | None
) -> None:
    """Write the record and the reason to `quarantine`. DeliveryUnclear when the broker does not take them.

    After an unclear delivery `quarantine` may have the record twice; topic, partition and offset name it. When the
    broker refuses the record for its size, it is sent once more without its value. When that is refused too, only the
    log has it."""
    event_id = uuid.uuid4().hex
    for part in (value, b""):
        headers, record = quarantine_record(source, event_id, topic, partition, offset, reason, part, len(value or b""))
        try:
            await producer.asend(QUARANTINE, record, headers=headers)
            break
        except DeliveryRefused:
            continue
    else:
        log.error(
            "`quarantine` takes no record, however small: its max.message.bytes is below what the release set",
            topic=topic,
            partition=partition,
            offset=offset,
            reason=reason,
        )
    QUARANTINED.labels(topic).inc()
    QUARANTINED_OFFSET.labels(topic, str(partition)).set(offset)
    _lines.say(topic, partition, offset, reason)


def quarantine_record(
    source: str,
    event_id: str,
    topic: str,
    partition: int,
    offset: int,
    reason: str,
    value: bytes | None,
    value_bytes: int,
) -> tuple[Headers, bytes]:
    """Headers and value of the record of `quarantine`, with as much of the refused value as fits. `value_bytes`: the
    size of the whole refused value."""

    def record(value_base64: str) -> Quarantined:
        return Quarantined(topic, partition, offset, reason[: bounds.TEXT_MAX], value_base64, value_bytes)

    headers = headers_for(record(""), event_id, source)
    taken = len(encode(record(""))) + sum(len(name) + len(text) for name, text in headers) + _FRAMING_BYTES_MAX
    room = max(0, bounds.REFUSAL_BYTES_MAX - taken) // 4 * 3
    return headers, encode(record(base64.b64encode((value or b"")[:room]).decode()))


class _Lines:
    """Logs one line for each record, but not for each of a flood: the topic and the metric have all of them."""

    def __init__(self) -> None:
        self._since_s, self._said, self._left_out = float("-inf"), 0, 0

    def say(self, topic: str, partition: int, offset: int, reason: str) -> None:
        now_s = time.monotonic()
        if now_s - self._since_s > _LINES_EVERY_S:
            self._since_s, self._said = now_s, 0
        if self._said >= _LINES_MAX:
            self._left_out += 1
            return
        self._said += 1
        left_out, self._left_out = self._left_out, 0
        log.warning(
            "a record was quarantined",
            topic=topic,
            partition=partition,
            offset=offset,
            reason=reason,
            lines_left_out=left_out,
        )


_lines = _Lines()
