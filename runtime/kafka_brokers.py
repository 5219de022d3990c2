"""How a cluster's brokers are set up, by their own word."""

from __future__ import annotations

from confluent_kafka.admin import ConfigResource, ResourceType  # type: ignore[attr-defined]

from runtime import kafka_clients
from runtime.kafka_credentials import Brokers
from runtime.kafka_records import CLIENT

TIMEOUT_S = 5.0


def broker_setting(brokers: Brokers, name: str) -> dict[int, str]:
    """By id of the broker, the setting's value in force; empty text where a broker knows no such setting.

    KafkaException when a broker does not answer."""
    admin = kafka_clients.admin_client({**CLIENT, **brokers.librdkafka()})
    found: dict[int, str] = {}
    for broker in sorted(admin.list_topics(timeout=TIMEOUT_S).brokers):
        asked = admin.describe_configs([ConfigResource(ResourceType.BROKER, str(broker))], request_timeout=TIMEOUT_S)
        for future in asked.values():
            entry = future.result().get(name)
            found[broker] = "" if entry is None or entry.value is None else entry.value
    return found
