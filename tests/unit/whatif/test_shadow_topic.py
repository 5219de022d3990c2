"""The topic `shadow`: what is written is read in order, whatever else lies there, and a missing topic is said."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from contract.policy import Cluster, Policy, Pool, Tier, fingerprint
from contract.shadows import ShadowBegan
from contract.topics import SHADOW, Topic
from runtime.kafka import Producer
from tests.twin.kafka import TwinKafka
from whatif.shadow import topic

POLICY = Policy({"free": Tier(60_000)}, {"main": Pool(0)}, {"local": Cluster("main", 1)})
BEGAN = ShadowBegan("trial", "run-1", "main", 0, 7, 1_000, POLICY, fingerprint(POLICY), "1.0")


@pytest.fixture
def kafka() -> Iterator[TwinKafka]:
    with TwinKafka().installed() as kafka:
        yield kafka


def create(kafka: TwinKafka, partitions: int = 2) -> None:
    kafka.create([Topic(SHADOW, partitions, {"message.timestamp.type": "LogAppendTime"})])


def test_what_a_shadow_writes_is_read_in_order_and_by_name(kafka: TwinKafka) -> None:
    create(kafka)
    producer = Producer(kafka.brokers, "shadow")
    write = topic.writer(producer, 1)
    again, other = (msgspec.structs.replace(BEGAN, run="run-2"), msgspec.structs.replace(BEGAN, shadow="other"))
    for record in (BEGAN, other, again):
        write(record)
    producer.close()
    for value in (b"no JSON", None, b""):
        kafka.write(SHADOW, value, partition=1, key=b"trial")
    assert [record for _, record in topic.written(kafka.brokers, (0, 1, 9))] == [BEGAN, other, again]
    assert [record for _, record in topic.written(kafka.brokers, (1,), "other")] == [other]
    assert topic.last_began(kafka.brokers, 1, "trial") == again
    assert topic.last_began(kafka.brokers, 1, "nobody") is None
    kafka.log(SHADOW, 1).trim(3)
    assert topic.last_began(kafka.brokers, 1, "trial") is None


def test_a_missing_topic_or_partition_is_said_with_what_to_do(kafka: TwinKafka) -> None:
    with pytest.raises(topic.NoTopic, match=r"no such topic; it is made when a policy is applied"):
        topic.check_topic(kafka.brokers, 0)
    create(kafka)
    topic.check_topic(kafka.brokers, 1)
    assert topic.readable(kafka.brokers, (5, 1)) == [1]
    with pytest.raises(topic.NoTopic, match="found partitions 0 to 1"):
        topic.check_topic(kafka.brokers, 2)
