"""A real broker does what the twin of Kafka does: tests.conformance.kafka."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from contract.topics import Topic
from local.services import Services
from runtime import kafka, kafka_clients
from runtime.kafka_credentials import Brokers
from tests.conformance.ground import Given
from tests.conformance.kafka import APPEND_TIME, CASES
from tests.integration.streams.raw import produce
from tests.unit.streams.batches import batch


class BrokerGround:
    """As tests.conformance.ground.KafkaGround."""

    nowhere = Brokers("127.0.0.1:1")

    def __init__(self, brokers: Brokers) -> None:
        self.brokers = brokers
        self._admin = kafka_clients.admin_client(brokers.librdkafka())
        """Kept: the answers to a client that is collected never come."""

    def topic(self, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        name = f"conformance-{uuid.uuid4().hex}"
        kafka.ensure_topics(self.brokers, [Topic(name, partitions, APPEND_TIME | dict(config or {}))])
        return name

    def write_raw(self, topic: str, partition: int, record: Given) -> int:
        return produce(self.brokers.addresses, topic, partition, batch(0, [record]))

    def compact(self, topic: str, partition: int) -> None:
        """The broker does so by itself."""

    def trim(self, topic: str, partition: int, before: int) -> None:
        for future in self._admin.delete_records([TopicPartition(topic, partition, before)]).values():
            future.result(20)

    def consumer(self, config: Mapping[str, Any]) -> Any:
        return kafka_clients.consumer({**self.brokers.librdkafka(), "log_level": 0, **config})

    def transactional(self, name: str) -> Any:
        return kafka_clients.producer({**self.brokers.librdkafka(), "transactional.id": name})

    def admin(self) -> Any:
        return self._admin


@pytest.mark.parametrize("name", CASES)
def test_a_broker_does_what_the_twin_does(services: Services, name: str) -> None:
    CASES[name](BrokerGround(services.settings.brokers))
