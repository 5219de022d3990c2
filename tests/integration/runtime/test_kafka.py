"""runtime.kafka against a real broker."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import Producer

from contract.bounds import MESSAGE_BYTES_MAX
from contract.topics import Topic
from local.services import Services
from runtime import kafka
from tests.integration.streams.raw import produce
from tests.unit.streams.batches import AnyName, batch
from tests.waiting import until

APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}


@pytest.fixture
def topic(services: Services) -> str:
    name = f"kafka-{uuid.uuid4().hex}"
    assert kafka.ensure_topics(services.settings.kafka, [Topic(name, 2, APPEND_TIME)]) == [name]
    return name


@pytest.fixture
def producer(services: Services) -> Iterator[kafka.Producer]:
    producer = kafka.Producer(services.settings.kafka, "test")
    yield producer
    producer.close()


def test_a_record_comes_back_as_it_was_sent_with_the_brokers_time(
    services: Services, topic: str, producer: kafka.Producer
) -> None:
    before_ms = int(time.time() * 1000)
    delivery = producer.send_and_wait(topic, b"value", key=b"key", headers=[("h", b"1")], partition=1)
    assert (delivery.partition, delivery.offset) == (1, 0)
    assert before_ms - 1000 <= delivery.timestamp_ms <= before_ms + 60_000
    record = kafka.read_one(services.settings.kafka, topic, 1, 0)
    assert record == kafka.Record(topic, 1, 0, delivery.timestamp_ms, b"key", b"value", [("h", b"1")])


def test_a_tombstone_has_no_value(services: Services, topic: str, producer: kafka.Producer) -> None:
    producer.send_and_wait(topic, None, key=b"key", partition=0)
    record = kafka.read_one(services.settings.kafka, topic, 0, 0)
    assert record is not None
    assert record.value is None


def test_end_means_the_end_when_the_reader_was_made(services: Services, topic: str, producer: kafka.Producer) -> None:
    producer.send_and_wait(topic, b"old", partition=0)
    reader = kafka.Reader(services.settings.kafka, {(topic, 0): "end"}, client_id="test")
    producer.send_and_wait(topic, b"new", partition=0)
    records = reader.read(10, 10)
    reader.close()
    assert [record.value for record in records] == [b"new"]


def test_a_reader_starts_where_it_is_told_and_knows_its_position(
    services: Services, topic: str, producer: kafka.Producer
) -> None:
    for number in range(5):
        producer.send_and_wait(topic, b"%d" % number, partition=0)
    reader = kafka.Reader(services.settings.kafka, {(topic, 0): 2, (topic, 1): "beginning"}, client_id="test")
    assert reader.position((topic, 0)) == 2
    values: list[bytes | None] = []
    while len(values) < 3:
        records = reader.read(10, 2)
        assert 1 <= len(records) <= 2
        values += [record.value for record in records]
    assert values == [b"2", b"3", b"4"]
    assert reader.position((topic, 0)) == 5
    assert reader.read(0.05, 10) == []
    reader.close()


def test_a_reader_says_when_its_offset_is_not_in_the_log(services: Services, topic: str) -> None:
    reader = kafka.Reader(services.settings.kafka, {(topic, 0): 99}, client_id="test")
    with pytest.raises(kafka.OffsetGone):
        reader.read(10, 10)
    reader.close()


def test_a_range_is_read_whole_and_no_further(services: Services, topic: str, producer: kafka.Producer) -> None:
    for number in range(10):
        producer.send(topic, b"%d" % number, partition=0)
    assert producer.flush(10) == 0
    bootstrap = services.settings.kafka
    assert kafka.offsets(bootstrap, topic, 0) == (0, 10)
    assert [r.offset for r in kafka.read_range(bootstrap, topic, 0, 3, 7)] == [3, 4, 5, 6]
    assert list(kafka.read_range(bootstrap, topic, 0, 10, 10)) == []
    with pytest.raises(kafka.OffsetGone):
        list(kafka.read_range(bootstrap, topic, 0, 5, 11))
    assert kafka.read_one(bootstrap, topic, 0, 10) is None


def test_a_coroutine_awaits_the_acknowledgement(topic: str, producer: kafka.Producer) -> None:
    async def send_all() -> list[kafka.Delivery]:
        return await asyncio.gather(*(producer.asend(topic, b"x", partition=0) for _ in range(100)))

    assert [delivery.offset for delivery in asyncio.run(send_all())] == list(range(100))


def test_no_broker_makes_a_delivery_unclear() -> None:
    producer = kafka.Producer("127.0.0.1:1", "test", delivery_timeout_ms=300)
    with pytest.raises(kafka.DeliveryUnclear):
        producer.send_and_wait("topic", b"secret words")
    with pytest.raises(kafka.DeliveryUnclear) as raised:
        asyncio.run(producer.asend("topic", b"secret words"))
    assert "secret" not in str(raised.value)
    producer.close()


@pytest.mark.parametrize("size", [100_000, MESSAGE_BYTES_MAX + 1], ids=["by the broker", "by the client"])
def test_a_record_over_the_topics_limit_is_refused_and_the_next_one_is_written(
    services: Services, producer: kafka.Producer, size: int
) -> None:
    topic = f"kafka-{uuid.uuid4().hex}"
    kafka.ensure_topics(services.settings.kafka, [Topic(topic, 1, {"max.message.bytes": "65536"})])
    for offset in range(2):
        with pytest.raises(kafka.DeliveryRefused, match=f"^{topic}: MSG_SIZE_TOO_LARGE$"):
            producer.send_and_wait(topic, b"secret words" + bytes(size), partition=0)
        assert producer.send_and_wait(topic, b"small", partition=0).offset == offset


def test_a_header_whose_name_is_no_text_costs_the_headers_and_nothing_else(services: Services, topic: str) -> None:
    good = [("ce_id", b"1")]
    odd = [*good, (AnyName.of(b"\xff"), b"?")]
    often = 40  # Python makes calls faster that it has made before, and checks less
    records = [(b"k", b"odd", odd)] * often + [(b"k", b"good", good)]
    produce(services.settings.kafka, topic, 0, batch(0, records))
    read = list(kafka.read_range(services.settings.kafka, topic, 0, 0, often + 1))
    assert [(r.value, len(r.headers)) for r in read] == [(b"odd", 0)] * often + [(b"good", 1)]


def test_only_what_is_committed_is_read_and_no_end_is_promised_that_cannot_be_read(
    services: Services, topic: str
) -> None:
    """Markers and what was aborted count as offsets; nobody waits for a record there."""
    bootstrap = services.settings.kafka
    upstream = Producer({"bootstrap.servers": bootstrap, "transactional.id": topic})
    upstream.init_transactions(30)
    for value, end in ((b"aborted", upstream.abort_transaction), (b"committed", upstream.commit_transaction)):
        upstream.begin_transaction()
        upstream.produce(topic, value, partition=0)
        upstream.flush()
        end()
    until(lambda: kafka.offsets(bootstrap, topic, 0) == (0, 4), "both have ended")
    assert [(record.offset, record.value) for record in kafka.read_range(bootstrap, topic, 0, 0, 4)] == [
        (2, b"committed")
    ]
    assert kafka.read_one(bootstrap, topic, 0, 3) is None

    upstream.begin_transaction()
    upstream.produce(topic, b"open", partition=0)
    upstream.flush()
    watermarks = kafka.Watermarks(bootstrap)
    assert (watermarks.of(topic, 0), watermarks.end_of_all_written(topic, 0)) == ((0, 4), 5)
    reader = kafka.Reader(bootstrap, {(topic, 0): "end"})
    upstream.commit_transaction()
    read = until(lambda: reader.read(0.2), "what was open when it asked for the end")
    assert [record.value for record in read] == [b"open"]
    until(lambda: watermarks.of(topic, 0) == (0, 6), "the transaction has ended")
    watermarks.close()
    reader.close()


def test_an_offer_never_waits() -> None:
    """What runs on an event loop hands over, or hears at once that there is no room."""
    producer = kafka.Producer("127.0.0.1:1", "test", delivery_timeout_ms=600_000)
    began_s = time.monotonic()

    def fill() -> None:
        while True:
            producer.offer("anything", b"x")

    with pytest.raises(kafka.DeliveryUnclear, match="not taken"):
        fill()
    assert time.monotonic() - began_s < 300
    producer._inner.purge()
    producer.close()


def test_a_partition_that_is_newer_than_the_producer_is_written_to(
    services: Services, topic: str, producer: kafka.Producer
) -> None:
    """Left to itself, the library looks every five minutes."""
    producer.send_and_wait(topic, b"old", partition=0)
    kafka.ensure_topics(services.settings.kafka, [Topic(topic, 4, APPEND_TIME)])
    producer.learn(topic)
    outcomes: list[object] = []
    producer.offer(topic, b"new", partition=2, on_delivery=outcomes.append)
    assert producer.flush(30) == 0
    assert isinstance(outcomes[0], kafka.Delivery)
    kafka.ensure_topics(services.settings.kafka, [Topic(topic, 5, APPEND_TIME)])
    assert producer.send_and_wait(topic, b"newer", partition=4).partition == 4, "one that waits learns of it by itself"


def test_watermarks_may_be_asked_from_many_threads_at_once(
    services: Services, topic: str, producer: kafka.Producer
) -> None:
    producer.send_and_wait(topic, b"one", partition=1)
    watermarks = kafka.Watermarks(services.settings.kafka)
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda number: watermarks.of(topic, number % 2), range(400)))
        ends = list(threads.map(lambda number: watermarks.end_of_all_written(topic, number % 2), range(400)))
    watermarks.close()
    assert answers == [(0, 0), (0, 1)] * 200
    assert ends == [0, 1] * 200


def test_topics_follow_the_policy_when_it_changes(services: Services, topic: str) -> None:
    bootstrap = services.settings.kafka
    assert kafka.ensure_topics(bootstrap, [Topic(topic, 2, APPEND_TIME)]) == []
    assert kafka.ensure_topics(bootstrap, [Topic(topic, 3, {"retention.ms": "1000"})]) == []
    assert kafka.offsets(bootstrap, topic, 2) == (0, 0)
    assert kafka.ensure_topics(bootstrap, [Topic(topic, 1, {})]) == []
    with pytest.raises(kafka.TopicMismatch, match=r"expected topic .* to have 1 partitions, found 3"):
        kafka.ensure_topics(bootstrap, [Topic(topic, 1, {}, exact=True)])


def test_a_lookup_gives_each_record_by_its_offset_and_none_for_what_is_not_there(
    services: Services, topic: str, producer: kafka.Producer
) -> None:
    for number in range(20):
        producer.send(topic, f"value {number}".encode(), partition=1)
    producer.send_and_wait(topic, b"last", partition=1)
    lookup = kafka.Lookup(services.settings.kafka, topic, client_id="test-lookup")
    try:
        for offset in (3, 4, 5, 19, 0, 4):
            record = lookup.at(1, offset)
            assert record is not None
            assert (record.offset, record.value) == (offset, f"value {offset}".encode())
        assert lookup.at(1, 21) is None
        assert lookup.at(1, 10_000) is None
        assert lookup.at(0, 0) is None
        producer.send_and_wait(topic, b"later", partition=1)
        later = lookup.at(1, 21)
        assert later is not None
        assert later.value == b"later"
    finally:
        lookup.close()


def test_a_setting_of_each_broker(services: Services) -> None:
    assert kafka.broker_setting(services.settings.kafka, "auto.create.topics.enable") == {1: "false"}
    assert kafka.broker_setting(services.settings.kafka, "no.such.setting") == {1: ""}
