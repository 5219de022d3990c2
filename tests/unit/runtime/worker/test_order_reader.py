"""The reader of orders, on the twin: it hears every order, whatever befalls its client, its broker and its topic."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from prometheus_client import REGISTRY

from contract.codec import encode
from contract.names import dispatch_partition
from contract.orders import Load, Order
from contract.topics import Topic, dispatch_topic
from runtime import kafka
from runtime.worker.order_reader import FAILURES_MAX, OrderReader
from tests.twin.kafka import TwinKafka
from tests.twin.simulated import SimulatedTime

NODE, SESSION, TOPIC = "node-1", "s1", dispatch_topic("main")
CLIENT = f"node-{NODE}"


class Bench:
    """A reader, its broker, and what was heard."""

    def __init__(self, twin: TwinKafka, **options: Any) -> None:
        self.twin = twin
        self.orders: list[Order] = []
        self.positions: list[str] = []
        self.reading = OrderReader(twin.brokers, "main", NODE, SESSION, self, **options)

    def positioned(self, session: str) -> None:
        self.positions.append(session)

    def ordered(self, orders: list[Order]) -> None:
        self.orders += orders

    def write(self, *orders: Order | bytes, partition: int = 0) -> None:
        for order in orders:
            self.twin.write(TOPIC, order if isinstance(order, bytes) else encode(order), partition=partition)

    @property
    def readers(self) -> list[bool]:
        """Every one that was made: whether it is closed."""
        return [consumer.is_closed for consumer in self.twin.consumers if consumer.client_id == CLIENT]

    async def heard(self, *numbers: int) -> None:
        """Wait for a moment; these orders were heard, and no other."""
        await asyncio.sleep(30)
        assert self.orders == [load(number) for number in numbers]


def load(number: int) -> Load:
    return Load(NODE, SESSION, "main", 1, f"sha256:{number:064x}")


def on_a_bench(test: Callable[[Bench], Awaitable[None]], *, partitions: int = 1, **options: Any) -> None:
    simulated = SimulatedTime()
    with TwinKafka(world=simulated).installed() as twin:
        if partitions:
            twin.create([Topic(TOPIC, partitions, {})])

        async def live() -> None:
            bench = Bench(twin, **options)
            if partitions:
                bench.write(load(99), partition=dispatch_partition(NODE, partitions))  # before the node may join
            bench.reading.start()
            await asyncio.sleep(0.1)
            await test(bench)
            bench.reading.stop(10)

        simulated.run(live)


def test_orders_are_heard_from_the_moment_at_which_the_node_may_join() -> None:
    async def test(bench: Bench) -> None:
        assert bench.positions == [SESSION]
        bench.write(load(1), load(2))
        await bench.heard(1, 2)

    on_a_bench(test)


def test_a_reader_that_fails_again_and_again_is_made_anew_where_it_was() -> None:
    async def test(bench: Bench) -> None:
        bench.write(load(1))
        await bench.heard(1)
        bench.twin.break_consumers(CLIENT)
        bench.write(load(2))
        await bench.heard(1, 2)
        assert bench.readers == [True, False]
        bench.twin.break_consumers(CLIENT)
        bench.write(load(3))
        await bench.heard(1, 2, 3)
        assert bench.positions == [SESSION], "the session goes on"

    on_a_bench(test)


def test_a_reader_that_fails_now_and_then_is_kept() -> None:
    async def test(bench: Bench) -> None:
        for number in range(3):
            bench.twin.break_consumers(CLIENT, polls=FAILURES_MAX - 1, at_close=False)
            bench.write(load(number))
            await bench.heard(*range(number + 1))
        assert bench.readers == [False]

    on_a_bench(test)


def test_a_reader_that_stands_still_without_an_error_is_made_anew() -> None:
    async def test(bench: Bench) -> None:
        bench.write(load(1))
        await bench.heard(1)
        bench.twin.deafen_consumers(CLIENT)
        bench.write(load(2))
        await bench.heard(1, 2)
        assert bench.readers == [True, False]

    on_a_bench(test, partitions_every_s=10.0)


def test_a_reader_that_is_behind_now_and_then_and_goes_on_is_kept() -> None:
    async def test(bench: Bench) -> None:
        for number in range(8):
            bench.twin.deafen_consumers(CLIENT)
            bench.write(load(number))
            await asyncio.sleep(4)
            bench.twin.deafen_consumers(CLIENT, deaf=False)
            await bench.heard(*range(number + 1))
        assert bench.readers == [False]

    on_a_bench(test, partitions_every_s=10.0)


def test_a_reader_with_nothing_to_read_is_kept() -> None:
    async def test(bench: Bench) -> None:
        await asyncio.sleep(600)
        assert bench.readers == [False]

    on_a_bench(test, partitions_every_s=10.0)


def test_a_reader_whose_place_is_gone_and_that_cannot_be_closed_is_made_anew() -> None:
    """Its thread would end otherwise, and the node would hear nothing more."""

    async def test(bench: Bench) -> None:
        bench.twin.cut_off(CLIENT)
        bench.write(load(1))
        bench.twin.log(TOPIC).trim(2)
        bench.twin.break_consumers(CLIENT, polls=0)
        bench.twin.reconnect()
        await asyncio.sleep(5)
        bench.write(load(2))
        await bench.heard(2)

    on_a_bench(test)


def test_an_outage_costs_the_wait() -> None:
    async def test(bench: Bench) -> None:
        bench.twin.go_away()
        await asyncio.sleep(3_600)
        bench.twin.come_back()
        bench.write(load(1))
        await bench.heard(1)

    on_a_bench(test)


def test_a_topic_that_does_not_exist_yet_is_waited_for() -> None:
    async def test(bench: Bench) -> None:
        await asyncio.sleep(60)
        assert bench.positions == []
        bench.twin.create([Topic(TOPIC, 1, {})])
        await asyncio.sleep(5)
        assert bench.positions == [SESSION]
        bench.write(load(1))
        await bench.heard(1)

    on_a_bench(test, partitions=0)


def test_a_topic_that_was_cut_is_read_on_at_its_end() -> None:
    async def test(bench: Bench) -> None:
        bench.twin.cut_off(CLIENT)
        bench.write(load(1), load(2))
        bench.twin.log(TOPIC).trim(3)
        bench.twin.reconnect()
        await asyncio.sleep(5)
        bench.write(load(3))
        await bench.heard(3)

    on_a_bench(test)


def test_when_the_topic_grows_the_former_partition_is_read_as_well() -> None:
    async def test(bench: Bench) -> None:
        before, after = (dispatch_partition(NODE, number) for number in (2, 3))
        assert before != after
        bench.write(load(1), partition=before)
        kafka.ensure_topics(bench.twin.brokers, [Topic(TOPIC, 3, {})])
        bench.write(load(2), partition=after)
        await bench.heard(1, 2)
        bench.write(load(3), partition=before)
        bench.write(load(4), partition=after)
        await bench.heard(1, 2, 3, 4)

    on_a_bench(test, partitions=2, partitions_every_s=10.0)


def test_what_is_no_order_is_counted_and_passed_over() -> None:
    def refused() -> float:
        return REGISTRY.get_sample_value("headrace_node_orders_refused_total") or 0.0

    async def test(bench: Bench) -> None:
        before = refused()
        nowhere = Load(NODE, SESSION, "main", 1, "../../x")
        another = Load("node-2", SESSION, "main", 1, "../../x")
        bench.write(b"\xff", b"{}", nowhere, another, load(1))
        await bench.heard(1)
        assert refused() == before + 3

    on_a_bench(test)
