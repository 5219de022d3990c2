"""What is asked about topics and partitions, and how topics change."""

from __future__ import annotations

import time
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from contract.topics import Topic
from runtime import kafka
from tests.conformance.ground import KafkaGround
from tests.conformance.kafka_case import APPEND_TIME, UNPACKED, case
from tests.waiting import until


@case
def topics_follow_what_is_wanted_and_say_so(ground: KafkaGround) -> None:
    topic = ground.topic(2)
    assert kafka.partitions(ground.brokers, topic) == 2
    assert kafka.ensure_topics(ground.brokers, [Topic(topic, 3, {"retention.ms": "1000"})]) == []
    assert kafka.partitions(ground.brokers, topic) == 3
    assert kafka.offsets(ground.brokers, topic, 2) == (0, 0)
    new = f"{topic}-new"
    assert kafka.ensure_topics(ground.brokers, [Topic(new, 1, APPEND_TIME)]) == [new]
    with pytest.raises(kafka.TopicMismatch, match=r"to have 1 partitions, found 3"):
        kafka.ensure_topics(ground.brokers, [Topic(topic, 1, {}, exact=True)])
    with pytest.raises(kafka.TopicMismatch):
        kafka.ensure_topics(ground.brokers, [Topic(topic, 3, {"no.such.setting": "1"})])
    change = kafka.TopicChange(ground.brokers, [Topic(f"{topic}-trial", 1, {}), Topic(topic, 4, {})])
    change.check()
    with pytest.raises(kafka.OffsetGone):
        kafka.partitions(ground.brokers, f"{topic}-trial")
    change.make_room()
    assert kafka.partitions(ground.brokers, topic) == 4
    assert change.put_back() == []
    with pytest.raises(kafka.OffsetGone):
        until(lambda: not kafka.partitions(ground.brokers, f"{topic}-trial"), "the topic is gone")


@case
def offsets_are_known_by_place_and_by_time(ground: KafkaGround) -> None:
    topic = ground.topic()
    producer = kafka.Producer(ground.brokers, "conformance")
    times_ms = []
    for number in range(3):
        times_ms.append(producer.send_and_wait(topic, b"%d" % number, partition=0).timestamp_ms)
        time.sleep(0.01)
    producer.close()
    ground.trim(topic, 0, 1)
    place = TopicPartition(topic, 0)

    def asked(spec: Any) -> int:
        (future,) = ground.admin().list_offsets({place: spec}).values()
        return int(future.result(20).offset)

    assert asked(OffsetSpec.earliest()) == 1  # type: ignore[no-untyped-call]
    assert asked(OffsetSpec.latest()) == 3  # type: ignore[no-untyped-call]
    assert asked(OffsetSpec.for_timestamp(times_ms[2])) == 2
    assert asked(OffsetSpec.for_timestamp(times_ms[2] + 3_600_000)) == -1


@case
def of_a_topic_that_does_not_exist_nothing_is_known(ground: KafkaGround) -> None:
    missing = ground.topic() + "-missing"
    with pytest.raises(kafka.OffsetGone, match="expected a topic"):
        kafka.partitions(ground.brokers, missing)
    with pytest.raises(KafkaException) as raised:
        kafka.offsets(ground.brokers, missing, 0)
    assert raised.value.args[0].code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION)
    producer = kafka.Producer(ground.brokers, "conformance", delivery_timeout_ms=1_000)
    with pytest.raises(kafka.DeliveryUnclear) as unclear:
        producer.send_and_wait(missing, b"words", partition=0)
    assert not isinstance(unclear.value, kafka.DeliveryRefused)
    producer.close()


@case
def a_partition_that_is_newer_than_the_producer_is_written_to(ground: KafkaGround) -> None:
    topic = ground.topic(2)
    producer = kafka.Producer(ground.brokers, "conformance")
    producer.send_and_wait(topic, b"old", partition=0)
    with pytest.raises(kafka.DeliveryUnclear, match="no such partition"):
        producer.offer(topic, b"too soon", partition=2)
    kafka.ensure_topics(ground.brokers, [Topic(topic, 4, APPEND_TIME)])
    producer.learn(topic)
    outcomes: list[object] = []
    producer.offer(topic, b"new", partition=2, on_delivery=outcomes.append)
    assert producer.flush(30) == 0
    until(lambda: outcomes, "a report")
    assert isinstance(outcomes[0], kafka.Delivery)
    kafka.ensure_topics(ground.brokers, [Topic(topic, 5, APPEND_TIME)])
    assert producer.send_and_wait(topic, b"newer", partition=4).partition == 4
    producer.close()


@case
def who_writes_in_bursts_hears_of_failures_only(ground: KafkaGround) -> None:
    topic = ground.topic(config={"max.message.bytes": "65536", **UNPACKED})
    producer = kafka.Producer(ground.brokers, "conformance", in_bursts=True)
    outcomes: list[object] = []
    for size in (10, 100_000, 10):
        producer.offer(topic, bytes(size), partition=0, on_delivery=outcomes.append)
    assert producer.flush(30) == 0
    producer.close()
    assert [type(outcome) for outcome in outcomes] == [kafka.DeliveryRefused]
    assert kafka.offsets(ground.brokers, topic, 0) == (0, 2)
