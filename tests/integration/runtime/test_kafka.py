"""runtime.kafka against a real broker: what tests.conformance.kafka does not ask of the twin as well."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from contract.bounds import MESSAGE_BYTES_MAX
from contract.topics import Topic
from local.services import Services
from runtime import kafka
from runtime.kafka_credentials import Brokers
from tests.integration.streams.raw import produce
from tests.unit.streams.batches import AnyName, batch

APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}


@pytest.fixture
def topic(services: Services) -> str:
    name = f"kafka-{uuid.uuid4().hex}"
    assert kafka.ensure_topics(services.settings.brokers, [Topic(name, 2, APPEND_TIME)]) == [name]
    return name


@pytest.fixture
def producer(services: Services) -> Iterator[kafka.Producer]:
    producer = kafka.Producer(services.settings.brokers, "test")
    yield producer
    producer.close()


def test_a_coroutine_awaits_the_acknowledgement(topic: str, producer: kafka.Producer) -> None:
    async def send_all() -> list[kafka.Delivery]:
        return await asyncio.gather(*(producer.asend(topic, b"x", partition=0) for _ in range(100)))

    assert [delivery.offset for delivery in asyncio.run(send_all())] == list(range(100))


def test_no_broker_makes_a_delivery_unclear() -> None:
    producer = kafka.Producer(Brokers("127.0.0.1:1"), "test", delivery_timeout_ms=300)
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
    kafka.ensure_topics(
        services.settings.brokers, [Topic(topic, 1, {"max.message.bytes": "65536", "compression.type": "uncompressed"})]
    )
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
    read = list(kafka.read_range(services.settings.brokers, topic, 0, 0, often + 1))
    assert [(r.value, len(r.headers)) for r in read] == [(b"odd", 0)] * often + [(b"good", 1)]


def test_an_offer_never_waits() -> None:
    """What runs on an event loop hands over, or hears at once that there is no room."""
    producer = kafka.Producer(Brokers("127.0.0.1:1"), "test", delivery_timeout_ms=600_000)
    began_s = time.monotonic()

    def fill() -> None:
        while True:
            producer.offer("anything", b"x")

    with pytest.raises(kafka.DeliveryUnclear, match="not taken"):
        fill()
    assert time.monotonic() - began_s < 300
    producer._inner.purge()
    producer.close()


def test_watermarks_may_be_asked_from_many_threads_at_once(
    services: Services, topic: str, producer: kafka.Producer
) -> None:
    producer.send_and_wait(topic, b"one", partition=1)
    watermarks = kafka.Watermarks(services.settings.brokers)
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda number: watermarks.of(topic, number % 2), range(400)))
        ends = list(threads.map(lambda number: watermarks.end_of_all_written(topic, number % 2), range(400)))
    watermarks.close()
    assert answers == [(0, 0), (0, 1)] * 200
    assert ends == [0, 1] * 200


def test_a_setting_of_each_broker(services: Services) -> None:
    assert kafka.broker_setting(services.settings.brokers, "auto.create.topics.enable") == {1: "false"}
    assert kafka.broker_setting(services.settings.brokers, "no.such.setting") == {1: ""}
