"""A case of what Kafka must do: a function of a ground, known by its name; and what cases need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime import kafka
from tests.conformance.ground import KafkaGround
from tests.waiting import until

APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}
COMPACTED = APPEND_TIME | {
    "cleanup.policy": "compact",
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.01",
    "max.compaction.lag.ms": "1000",
    "delete.retention.ms": "100",
}
UNPACKED = {"compression.type": "uncompressed"}
"""The broker unpacks what our producers packed, and holds the limit against the unpacked size."""
SOON_S = 0.3
"""What has not come within this time does not come."""

Case = Callable[[KafkaGround], None]
CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    assert function.__name__ not in CASES, "each case has a name of its own"
    CASES[function.__name__] = function
    return function


def values(records: list[kafka.Record]) -> list[bytes | None]:
    return [record.value for record in records]


def written(ground: KafkaGround, topic: str, *texts: bytes, partition: int = 0) -> None:
    producer = kafka.Producer(ground.brokers, "conformance")
    for text in texts:
        producer.send(topic, text, partition=partition)
    producer.close()


def polled(consumer: Any, within_s: float = 20.0) -> bytes | None:
    message = until(lambda: consumer.poll(0.2), "a record", within_s)
    assert message.error() is None, message.error()
    value: bytes | None = message.value()
    return value
