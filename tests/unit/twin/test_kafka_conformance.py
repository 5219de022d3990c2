"""The twin of Kafka does what a real broker does: tests.conformance.kafka, in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import count
from typing import Any

import pytest

from contract.topics import Topic
from runtime import kafka_clients
from tests.conformance.ground import Given
from tests.conformance.kafka import APPEND_TIME, CASES
from tests.twin.kafka import TwinKafka
from tests.twin.simulated import SimulatedTime
from tests.unit.streams.batches import AnyName


class TwinGround:
    """As tests.conformance.ground.KafkaGround."""

    def __init__(self, kafka: TwinKafka, nowhere: TwinKafka) -> None:
        self.kafka, self.brokers, self.nowhere = kafka, kafka.brokers, nowhere.brokers
        self._numbers = count()

    def topic(self, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        name = f"conformance-{next(self._numbers)}"
        self.kafka.create([Topic(name, partitions, APPEND_TIME | dict(config or {}))])
        return name

    def write_raw(self, topic: str, partition: int, record: Given) -> int:
        key, value, headers = record
        raw = [(name.raw if isinstance(name, AnyName) else name, text) for name, text in headers]
        return self.kafka.write(topic, value, partition=partition, key=key, headers=raw)

    def compact(self, topic: str, partition: int) -> None:
        self.kafka.log(topic, partition).compact()

    def trim(self, topic: str, partition: int, before: int) -> None:
        self.kafka.log(topic, partition).trim(before)

    def consumer(self, config: Mapping[str, Any]) -> Any:
        return kafka_clients.consumer({**self.brokers.librdkafka(), **config})

    def transactional(self, name: str) -> Any:
        return kafka_clients.producer({**self.brokers.librdkafka(), "transactional.id": name})

    def admin(self) -> Any:
        return kafka_clients.admin_client(self.brokers.librdkafka())


@pytest.mark.parametrize("name", CASES)
def test_the_twin_does_what_a_broker_does(name: str) -> None:
    simulated = SimulatedTime()
    kafka, nowhere = TwinKafka(world=simulated), TwinKafka(world=simulated)
    nowhere.go_away()

    async def run() -> None:
        await asyncio.sleep(0)
        CASES[name](TwinGround(kafka, nowhere))

    with kafka.installed(), nowhere.installed():
        simulated.run(run)
