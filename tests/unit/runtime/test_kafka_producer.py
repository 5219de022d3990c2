"""A producer says what became of each record, whatever befalls its client, on the twin."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest
from confluent_kafka import KafkaError, KafkaException

from contract.topics import Topic
from runtime.kafka import Delivery, DeliveryUnclear, Producer
from runtime.kafka_producer import WAITING_KBYTES_MAX
from tests.twin.faults import Fate
from tests.twin.kafka import TwinKafka
from tests.twin.simulated import SimulatedTime

HALF = bytes(WAITING_KBYTES_MAX * 1024 // 64)


def on_a_topic(test: Callable[[TwinKafka, Producer], Awaitable[None]]) -> None:
    simulated = SimulatedTime()
    with TwinKafka(world=simulated).installed() as kafka:
        kafka.create([Topic("t", 2, {"max.message.bytes": str(2 * len(HALF))})])

        async def live() -> None:
            producer = Producer(kafka.brokers, "p", delivery_timeout_ms=10_000)
            await test(kafka, producer)
            producer.close()
            producer._thread.join(0)
            assert not producer._thread.is_alive()

        simulated.run(live)


def test_after_a_fatal_error_another_client_goes_on() -> None:
    async def test(kafka: TwinKafka, producer: Producer) -> None:
        await producer.asend("t", b"before", partition=0)
        kafka.hold_writes("t")
        lost = asyncio.ensure_future(producer.asend("t", b"under way", partition=0))
        await asyncio.sleep(0.1)
        kafka.break_producers("p")
        with pytest.raises(DeliveryUnclear):
            await lost
        kafka.release("t")
        assert (await producer.asend("t", b"after", partition=0)).offset == 1
        assert len(kafka.producers) == 2

    on_a_topic(test)


def test_a_client_that_may_write_nothing_goes_on_as_another_client_once_it_may(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def test(kafka: TwinKafka, producer: Producer) -> None:
        await producer.asend("t", b"before", partition=0)
        (inner,) = kafka.producers
        no_number = KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED, "no number for its records", fatal=True)

        def refused(*_: object) -> int:
            inner.poll = polled  # type: ignore[method-assign]
            raise KafkaException(no_number)

        polled, inner.poll = inner.poll, refused  # type: ignore[assignment,method-assign]
        inner._alert()
        await asyncio.sleep(1)
        assert producer._thread.is_alive()
        assert (await producer.asend("t", b"after", partition=0)).offset == 1
        assert len(kafka.producers) == 2

    on_a_topic(test)
    assert "headrace topics acls" in capsys.readouterr().out


def test_who_cannot_wait_hears_at_once_that_there_is_no_room() -> None:
    async def test(kafka: TwinKafka, producer: Producer) -> None:
        kafka.hold_writes("t")
        heard: list[Delivery | Exception] = []
        for _ in range(64):
            producer.offer("t", HALF, partition=0, on_delivery=heard.append)
        with pytest.raises(DeliveryUnclear, match="not taken"):
            producer.offer("t", b"x", partition=0)
        waiting = asyncio.ensure_future(producer.asend("t", b"waits", partition=1))
        await asyncio.sleep(5)
        assert not waiting.done()
        kafka.release("t")
        assert (await waiting).partition == 1
        assert all(isinstance(outcome, Delivery) for outcome in heard)

    on_a_topic(test)


def test_room_is_waited_for_no_longer_than_a_delivery() -> None:
    async def test(kafka: TwinKafka, producer: Producer) -> None:
        producer = Producer(kafka.brokers, "impatient", delivery_timeout_ms=1_000)
        await producer.asend("t", b"known", partition=0)
        began_s = asyncio.get_running_loop().time()
        for send in (producer.send, producer.send_and_wait):
            with pytest.raises(DeliveryUnclear, match="no such partition, for 1"):
                await asyncio.to_thread(send, "t", b"x", partition=7)
        with pytest.raises(DeliveryUnclear, match="no such partition, for 1"):
            await producer.asend("t", b"x", partition=7)
        assert asyncio.get_running_loop().time() - began_s == pytest.approx(3, abs=0.5)
        producer.close()

    on_a_topic(test)


def test_whoever_waits_for_a_record_hears_what_became_of_it() -> None:
    async def test(kafka: TwinKafka, producer: Producer) -> None:
        kafka.faults.next_fates("t", Fate.WRITTEN, Fate.LOST)
        assert (await asyncio.to_thread(producer.send_and_wait, "t", b"x", partition=0)).offset == 0
        with pytest.raises(DeliveryUnclear, match=r"^t: _MSG_TIMED_OUT$"):
            await asyncio.to_thread(producer.send_and_wait, "t", b"secret words", partition=0)

    on_a_topic(test)


def test_a_report_comes_on_the_producers_own_thread_and_a_cancelled_wait_hears_nothing() -> None:
    async def test(kafka: TwinKafka, producer: Producer) -> None:
        kafka.hold_acks("t")
        waiting = asyncio.ensure_future(producer.asend("t", b"x", partition=0))
        await asyncio.sleep(0.1)
        waiting.cancel()
        kafka.release("t")
        await asyncio.sleep(0.1)
        assert [record.value for record in kafka.records("t")] == [b"x"]
        done = threading.Event()
        producer.send("t", b"y", partition=0, on_delivery=lambda outcome: done.set())
        assert await asyncio.to_thread(done.wait, 5)

    on_a_topic(test)
