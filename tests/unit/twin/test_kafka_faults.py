"""What a test may do to the twin of Kafka: each fault is seen by runtime.kafka as a real one is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from confluent_kafka import KafkaException

from contract.topics import Topic
from runtime.kafka import Delivery, DeliveryRefused, DeliveryUnclear, Producer, Reader, Watermarks
from tests.twin.faults import Fate, FaultRates, Faults
from tests.twin.kafka import TwinKafka
from tests.twin.simulated import SimulatedTime
from tests.twin.world import MachineWorld


@pytest.fixture
def kafka() -> Iterator[TwinKafka]:
    with TwinKafka(world=SimulatedTime()).installed() as kafka:
        kafka.create([Topic("t", 2, {})])
        yield kafka


def run(kafka: TwinKafka, test: Callable[[], Awaitable[None]]) -> None:
    simulated = kafka.world
    assert isinstance(simulated, SimulatedTime)

    async def live() -> None:
        await test()

    simulated.run(live)


def values(kafka: TwinKafka, partition: int = 0) -> list[bytes | None]:
    return [record.value for record in kafka.records("t", partition)]


def test_an_outage_shorter_than_the_delivery_timeout_costs_the_wait(kafka: TwinKafka) -> None:
    async def test() -> None:
        producer = Producer(kafka.brokers, "p", delivery_timeout_ms=10_000)
        kafka.go_away()
        sent = [asyncio.ensure_future(producer.asend("t", b"%d" % n, partition=0)) for n in range(3)]
        await asyncio.sleep(9)
        assert not any(one.done() for one in sent)
        kafka.come_back()
        assert [delivery.offset for delivery in await asyncio.gather(*sent)] == [0, 1, 2]
        kafka.go_away()
        with pytest.raises(DeliveryUnclear):
            await producer.asend("t", b"late", partition=0)
        kafka.come_back()
        assert values(kafka) == [b"0", b"1", b"2"]
        producer.close()

    run(kafka, test)


@pytest.mark.parametrize(("fate", "written"), [(Fate.UNCONFIRMED, True), (Fate.LOST, False)])
@pytest.mark.parametrize("patience_s", [0.0, None])
def test_an_unclear_delivery_is_written_or_not(
    kafka: TwinKafka, fate: Fate, written: bool, patience_s: float | None
) -> None:
    async def test() -> None:
        producer = Producer(kafka.brokers, "p", delivery_timeout_ms=10_000)
        kafka.faults.unclear_after_s = patience_s
        kafka.faults.next_fates("t", Fate.WRITTEN, fate)
        await producer.asend("t", b"first", partition=0)
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(DeliveryUnclear) as raised:
            await producer.asend("t", b"second", partition=0)
        assert not isinstance(raised.value, DeliveryRefused)
        waited_s = asyncio.get_running_loop().time() - began_s
        assert waited_s == pytest.approx(0 if patience_s == 0 else 10, abs=0.5)
        await producer.asend("t", b"third", partition=0)
        assert values(kafka) == [b"first", *([b"second"] if written else []), b"third"]
        producer.close()

    run(kafka, test)


def test_one_client_can_be_cut_off(kafka: TwinKafka) -> None:
    async def test() -> None:
        cut, other = Producer(kafka.brokers, "cut"), Producer(kafka.brokers, "other")
        kafka.cut_off("cut")
        sent = asyncio.ensure_future(cut.asend("t", b"cut", partition=0))
        await other.asend("t", b"other", partition=0)
        await asyncio.sleep(1)
        assert not sent.done()
        kafka.reconnect("cut")
        assert (await sent).offset == 1
        for producer in (cut, other):
            producer.close()

    run(kafka, test)


def test_a_partition_can_hold_writes_and_acknowledgements_and_no_other_waits(kafka: TwinKafka) -> None:
    async def test() -> None:
        producer = Producer(kafka.brokers, "p")
        kafka.hold_writes("t", 0)
        held = asyncio.ensure_future(producer.asend("t", b"held", partition=0))
        await producer.asend("t", b"free", partition=1)
        assert (values(kafka), held.done()) == ([], False)
        kafka.release("t")
        await held
        kafka.hold_acks("t", 0)
        unheard = asyncio.ensure_future(producer.asend("t", b"unheard", partition=0))
        await asyncio.sleep(1)
        assert (values(kafka), unheard.done()) == ([b"held", b"unheard"], False)
        kafka.release("t")
        assert (await unheard).offset == 1
        producer.close()

    run(kafka, test)


def test_a_reader_waits_through_an_outage_and_questions_fail_meanwhile(kafka: TwinKafka) -> None:
    async def test() -> None:
        reader, watermarks = Reader(kafka.brokers, {("t", 0): "end"}), Watermarks(kafka.brokers)
        kafka.go_away()
        reading = asyncio.ensure_future(asyncio.to_thread(_first, reader))
        with pytest.raises(KafkaException):
            await asyncio.to_thread(watermarks.of, "t", 0)
        kafka.write("t", b"meanwhile")
        await asyncio.sleep(60)
        assert not reading.done()
        kafka.come_back()
        assert await reading == b"meanwhile"
        reader.close()
        watermarks.close()

    run(kafka, test)


def _first(reader: Reader) -> bytes | None:
    while True:
        for record in reader.read(1.0):
            return record.value


def test_faults_are_drawn_by_their_seed() -> None:
    def fates(seed: int) -> list[Fate]:
        faults = Faults(seed, FaultRates(unconfirmed=0.2, lost=0.2))
        return [faults.fate("t") for _ in range(200)]

    assert fates(1) == fates(1) != fates(2)
    assert set(fates(1)) == set(Fate)


def test_on_the_machines_clock_and_threads_the_twin_is_the_same() -> None:
    with TwinKafka(world=MachineWorld()).installed() as kafka:
        kafka.create([Topic("t", 1, {})])
        producer, reader = Producer(kafka.brokers, "p"), Reader(kafka.brokers, {("t", 0): "beginning"})
        outcomes: list[Delivery | Exception] = []
        for number in range(10):
            producer.send("t", b"%d" % number, partition=0, on_delivery=outcomes.append)
        assert producer.flush(10) == 0
        assert [record.offset for record in reader.read(10)] == list(range(10))
        assert len(outcomes) == 10
        producer.close()
        reader.close()
