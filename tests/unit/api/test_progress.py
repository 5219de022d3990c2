"""Progress reaches whoever watches, from the moment at which the process began, whatever befalls the broker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from api.hub import Hub
from api.progress import ProgressReader
from contract.codec import encode
from contract.side_topics import AttemptProgressed
from contract.topics import PROGRESS, PROGRESS_PARTITIONS, Topic
from tests.twin.kafka import TwinKafka
from tests.twin.simulated import SimulatedTime

JOB = "main-" + "0" * 32


class WatchedHub(Hub):
    """A hub that tells what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[float] = []

    def give_progress(self, arrived: Iterable[AttemptProgressed]) -> None:
        self.given += [progress.fraction for progress in arrived]


def with_a_reader(test: Callable[[TwinKafka, WatchedHub], Awaitable[None]], *, topic: bool = True) -> None:
    simulated = SimulatedTime()
    with TwinKafka(world=simulated).installed() as kafka:
        if topic:
            create(kafka)
            say(kafka, 0.1)

        async def live() -> None:
            hub = WatchedHub()
            reader = ProgressReader(kafka.brokers, hub)
            reader.start()
            await asyncio.sleep(0.1)
            await test(kafka, hub)
            reader.close()
            assert not reader._thread.is_alive()

        simulated.run(live)


def create(kafka: TwinKafka) -> None:
    kafka.create([Topic(PROGRESS, PROGRESS_PARTITIONS, {})])


def say(kafka: TwinKafka, fraction: float, partition: int = 0) -> None:
    kafka.write(PROGRESS, encode(AttemptProgressed(JOB, "1.1.0", fraction, "")), partition=partition)


def test_what_comes_after_the_start_is_given_from_every_partition_and_nothing_older() -> None:
    async def test(kafka: TwinKafka, hub: WatchedHub) -> None:
        for partition in range(PROGRESS_PARTITIONS):
            say(kafka, 0.5, partition)
        kafka.write(PROGRESS, b"no JSON")
        kafka.write(PROGRESS, None)
        say(kafka, 1.0)
        await asyncio.sleep(1)
        assert sorted(hub.given) == [0.5] * PROGRESS_PARTITIONS + [1.0]

    with_a_reader(test)


def test_after_an_outage_it_goes_on() -> None:
    async def test(kafka: TwinKafka, hub: WatchedHub) -> None:
        kafka.go_away()
        await asyncio.sleep(600)
        kafka.come_back()
        say(kafka, 0.7)
        await asyncio.sleep(10)
        assert hub.given == [0.7]

    with_a_reader(test)


def test_a_client_that_never_reads_again_is_made_anew() -> None:
    async def test(kafka: TwinKafka, hub: WatchedHub) -> None:
        kafka.break_consumers("headrace-api-progress")
        await asyncio.sleep(10)
        say(kafka, 0.7)
        await asyncio.sleep(1)
        assert hub.given == [0.7]

    with_a_reader(test)


def test_a_topic_that_does_not_exist_yet_is_waited_for() -> None:
    async def test(kafka: TwinKafka, hub: WatchedHub) -> None:
        await asyncio.sleep(60)
        create(kafka)
        await asyncio.sleep(15)
        say(kafka, 0.7)
        await asyncio.sleep(1)
        assert hub.given == [0.7]

    with_a_reader(test, topic=False)
