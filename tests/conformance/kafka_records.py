"""What becomes of a record: as it was sent, in order, within the limits of sizes, unclear without a broker."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from contract.bounds import MESSAGE_BYTES_MAX
from runtime import kafka
from runtime.kafka_records import CLIENT
from tests.conformance.ground import KafkaGround
from tests.conformance.kafka_case import SOON_S, UNPACKED, case, values
from tests.twin.producer import batch_bytes
from tests.unit.streams.batches import AnyName
from tests.waiting import until


@case
def a_record_comes_back_as_it_was_sent_with_the_brokers_time(ground: KafkaGround) -> None:
    topic = ground.topic(2)
    producer = kafka.Producer(ground.brokers, "conformance")
    before_ms = int(time.time() * 1000)
    delivery = producer.send_and_wait(topic, b"value", key=b"\xff", headers=[("h", b"\xfe")], partition=1)
    later = producer.send_and_wait(topic, b"", partition=1)
    producer.close()
    assert (delivery.partition, delivery.offset, later.offset) == (1, 0, 1)
    assert before_ms - 1_000 <= delivery.timestamp_ms <= later.timestamp_ms <= before_ms + 60_000
    first, second = kafka.read_range(ground.brokers, topic, 1, 0, 2)
    assert first == kafka.Record(topic, 1, 0, delivery.timestamp_ms, b"\xff", b"value", [("h", b"\xfe")])
    assert second == kafka.Record(topic, 1, 1, later.timestamp_ms, None, b"", [])


@case
def a_tombstone_has_no_value(ground: KafkaGround) -> None:
    topic = ground.topic()
    producer = kafka.Producer(ground.brokers, "conformance")
    producer.send_and_wait(topic, None, key=b"key", partition=0)
    producer.close()
    found = kafka.read_one(ground.brokers, topic, 0, 0)
    assert found is not None
    assert (found.key, found.value) == (b"key", None)


@case
def a_header_may_have_no_value_and_a_name_that_is_no_text_costs_the_headers(ground: KafkaGround) -> None:
    topic = ground.topic()
    ground.write_raw(topic, 0, (b"k", b"no value", [("ce_id", None), ("ce_id", b"2")]))
    ground.write_raw(topic, 0, (None, b"odd", [("ce_id", b"1"), (AnyName.of(b"\xff"), b"?")]))
    none, odd = kafka.read_range(ground.brokers, topic, 0, 0, 2)
    assert (none.value, none.headers) == (b"no value", [("ce_id", None), ("ce_id", b"2")])
    assert (odd.value, odd.headers) == (b"odd", [])


@case
def what_one_producer_writes_to_a_partition_lies_in_order(ground: KafkaGround) -> None:
    topic = ground.topic(2)

    async def send_all(producer: kafka.Producer) -> list[kafka.Delivery]:
        return await asyncio.gather(*(producer.asend(topic, b"%d" % n, partition=n % 2) for n in range(100)))

    producer = kafka.Producer(ground.brokers, "conformance")
    sent = [producer.send_and_wait(topic, b"first", partition=partition) for partition in (0, 1)]
    outcomes: list[Any] = []
    for number in range(100):
        producer.send(topic, b"%d" % number, partition=number % 2, on_delivery=outcomes.append)
    assert producer.flush(30) == 0
    until(lambda: len(outcomes) == 100, "every record is reported")
    producer.close()
    assert [delivery.offset for delivery in sent] == [0, 0]
    for partition in (0, 1):
        assert [o.offset for o in outcomes if o.partition == partition] == list(range(1, 51))
        read = list(kafka.read_range(ground.brokers, topic, partition, 1, 51))
        assert values(read) == [b"%d" % number for number in range(partition, 100, 2)]


@case
def a_record_of_the_topics_size_is_taken_and_one_byte_more_is_refused(ground: KafkaGround) -> None:
    most = 70_000
    topic = ground.topic(config={"max.message.bytes": str(most), **UNPACKED})
    key, headers = b"a key", [("ce_id", b"1"), ("traceparent", b"x" * 200)]
    room = most - batch_bytes(key, bytes(60_000), headers) + 60_000
    assert batch_bytes(key, bytes(room), headers) == most
    producer = kafka.Producer(ground.brokers, "conformance")
    with pytest.raises(kafka.DeliveryRefused, match=f"^{topic}: MSG_SIZE_TOO_LARGE$"):
        producer.send_and_wait(topic, bytes(room + 1), key=key, headers=headers, partition=0)
    assert producer.send_and_wait(topic, bytes(room), key=key, headers=headers, partition=0).offset == 0
    producer.close()


@case
def a_record_over_the_clients_own_limit_is_refused_at_once(ground: KafkaGround) -> None:
    topic = ground.topic(config={"max.message.bytes": str(2 * MESSAGE_BYTES_MAX)})
    producer = kafka.Producer(ground.brokers, "conformance")
    most = MESSAGE_BYTES_MAX - 36  # what librdkafka counts for a record beside its texts
    for size in (MESSAGE_BYTES_MAX + 1, most + 1):
        with pytest.raises(kafka.DeliveryRefused):
            producer.offer(topic, bytes(size), partition=0)
    assert producer.send_and_wait(topic, bytes(most), partition=0).offset == 0
    producer.close()


@case
def without_a_broker_a_delivery_is_unclear_after_its_time(ground: KafkaGround) -> None:
    producer = kafka.Producer(ground.nowhere, "conformance", delivery_timeout_ms=300)
    with pytest.raises(kafka.DeliveryUnclear, match=r"^topic: _MSG_TIMED_OUT$") as raised:
        producer.send_and_wait("topic", b"secret words", partition=0)
    assert not isinstance(raised.value, kafka.DeliveryRefused)
    outcomes: list[object] = []
    producer.send("topic", b"secret words", partition=0, on_delivery=outcomes.append)
    assert producer.flush(0.01) == 1
    until(lambda: outcomes, "a report")
    assert isinstance(outcomes[0], kafka.DeliveryUnclear)
    assert "secret" not in str(outcomes)
    producer.close()


@case
def without_a_broker_questions_fail_and_a_reader_waits(ground: KafkaGround) -> None:
    consumer = ground.consumer(
        {**CLIENT, **ground.nowhere.librdkafka(), "group.id": "conformance", "enable.auto.commit": False}
    )
    with pytest.raises(KafkaException) as raised:
        consumer.list_topics("topic", timeout=0.3)
    assert raised.value.args[0].code() == KafkaError._TRANSPORT
    with pytest.raises(KafkaException) as raised:
        consumer.get_watermark_offsets(TopicPartition("topic", 0), timeout=0.3)
    assert raised.value.args[0].code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT)
    consumer.close()
    reader = kafka.Reader(ground.nowhere, {("topic", 0): 5})
    assert reader.read(SOON_S) == []
    assert reader.position(("topic", 0)) == 5
    reader.close()
