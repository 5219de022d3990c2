"""A lookup reads on whatever befalls its client, on the twin."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from confluent_kafka import KafkaException

from contract.topics import Topic
from runtime import kafka_lookup
from runtime.kafka import Lookup
from runtime.kafka_lookup import FAILURES_MAX
from tests.twin.kafka import TwinKafka
from tests.twin.simulated import SimulatedTime


def on_a_topic(test: Callable[[TwinKafka, Lookup], Awaitable[None]]) -> None:
    simulated = SimulatedTime()
    with TwinKafka(world=simulated).installed() as kafka:
        kafka.create([Topic("jobs", 1, {})])
        for number in range(5):
            kafka.write("jobs", b"%d" % number)

        async def live() -> None:
            lookup = Lookup(kafka.brokers, "jobs", client_id="lookup")
            await test(kafka, lookup)
            lookup.close()

        simulated.run(live)


async def value_at(lookup: Lookup, offset: int) -> bytes | None:
    record = await asyncio.to_thread(lookup.at, 0, offset)
    return record.value if record is not None else None


@pytest.mark.parametrize("harm", [TwinKafka.break_consumers, TwinKafka.deafen_consumers])
def test_a_client_that_never_reads_again_is_made_anew(harm: Callable[[TwinKafka, str], None]) -> None:
    async def test(kafka: TwinKafka, lookup: Lookup) -> None:
        harm(kafka, "lookup")
        for _ in range(FAILURES_MAX):
            with pytest.raises(KafkaException):
                await value_at(lookup, 1)
        assert await value_at(lookup, 1) == b"1"
        assert [consumer.is_closed for consumer in kafka.consumers] == [True, False]

    on_a_topic(test)


def test_a_client_that_fails_now_and_then_is_kept() -> None:
    async def test(kafka: TwinKafka, lookup: Lookup) -> None:
        for offset in range(4):
            kafka.break_consumers("lookup", polls=FAILURES_MAX - 1, at_close=False)
            for _ in range(FAILURES_MAX - 1):
                with pytest.raises(KafkaException):
                    await value_at(lookup, 4 - offset)
            assert await value_at(lookup, 4 - offset) == b"%d" % (4 - offset)
        assert len(kafka.consumers) == 1

    on_a_topic(test)


def test_what_was_read_ahead_is_there_while_the_broker_is_away() -> None:
    async def test(kafka: TwinKafka, lookup: Lookup) -> None:
        assert await value_at(lookup, 0) == b"0"
        kafka.go_away()
        assert await value_at(lookup, 3) == b"3"
        with pytest.raises(KafkaException):
            await value_at(lookup, 3)

    on_a_topic(test)


def test_what_is_read_ahead_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_lookup, "KEPT_BYTES_MAX", 450)  # two records, with what each costs beside its value

    async def test(kafka: TwinKafka, lookup: Lookup) -> None:
        assert await value_at(lookup, 0) == b"0"
        kafka.go_away()
        assert [await value_at(lookup, offset) for offset in (3, 4)] == [b"3", b"4"], "the newest are kept"
        with pytest.raises(KafkaException):
            await value_at(lookup, 2)

    on_a_topic(test)
