"""What of Faust is replaced: which partitions flow, how much waits in memory, and what an assignment says of itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP

from runtime.kafka import Record
from runtime.settings import Settings
from streams.hosting import assignment, faust_app, faust_parts, inbox
from streams.hosting.faust_app import _with_threads, in_batches, make_app
from streams.hosting.faust_parts import CommittedConsumer, CommittedThread
from streams.hosting.flow import FlowControl, fetch_what_flows
from tests.twin.simulated import SimulatedTime
from tests.unit.streams.memory_pool import run
from tests.waiting import until_async, within

TOPIC = "jobs"
ONE, TWO = TP(TOPIC, 0), TP(TOPIC, 1)


class Consumer:
    """As much of Faust's as fetches records."""

    def __init__(self) -> None:
        self.flow_active = True
        self.not_waiting_next_records = asyncio.Event()
        self.asked: list[tuple[set[TP], float]] = []
        self._wait_next_records: Any = None

    def _get_active_partitions(self) -> set[TP]:
        return {ONE, TWO}

    async def _getmany(self, active_partitions: set[TP], timeout: float) -> dict[TP, list[str]]:
        self.asked.append((active_partitions, timeout))
        return {partition: ["a record"] for partition in active_partitions}


def test_what_is_held_back_is_not_fetched_and_the_rest_is() -> None:
    async def live() -> None:
        consumer, flow = Consumer(), FlowControl()
        fetch_what_flows(consumer, flow)
        assert set((await consumer._wait_next_records(timeout=1.0))[0]) == {ONE, TWO}
        flow.hold(ONE, True)
        assert set((await consumer._wait_next_records(timeout=1.0))[0]) == {TWO}
        assert consumer.asked[-1][1] < 1.0, "it is looked often whether the held one is released"
        flow.hold(ONE, False)
        assert set((await consumer._wait_next_records(timeout=1.0))[0]) == {ONE, TWO}

    run(live)


def test_a_partition_to_which_nobody_writes_is_no_error() -> None:
    """Faust's own check would ask aiokafka when it last fetched records, and log an error where there were none."""
    thread = object.__new__(CommittedThread)
    thread._consumer = SimpleNamespace(_fetcher=SimpleNamespace(_subscriptions=Silent()))
    thread.time_started, thread.tp_fetch_request_timeout_secs = 0.0, 1.0
    logged: list[object] = []
    vars(thread).update(log=SimpleNamespace(error=lambda *said: logged.append(said)))
    assert AIOKafkaConsumerThread._verify_aiokafka_event_path(thread, 1_000.0, ONE)
    assert logged, "Faust would"
    logged.clear()
    thread.verify_event_path(1_000.0, ONE)
    assert logged == []


class Silent:
    """aiokafka's knowledge of a partition from which no record ever came."""

    @property
    def subscription(self) -> Any:
        known = SimpleNamespace(active=True, state_value=lambda _: SimpleNamespace(timestamp=None))
        return SimpleNamespace(assignment=known)


def test_when_all_is_held_back_a_release_is_noticed_at_once() -> None:
    async def live() -> None:
        consumer, flow = Consumer(), FlowControl()
        fetch_what_flows(consumer, flow)
        flow.hold_all(True)
        waiting = asyncio.create_task(consumer._wait_next_records(timeout=3_600.0))
        await asyncio.sleep(0)
        flow.hold_all(False)
        assert (await within(30, waiting))[0] == {}
        assert consumer.asked == []
        assert set((await consumer._wait_next_records(timeout=1.0))[0]) == {ONE, TWO}

    run(live)


class Stream:
    """A stream of Faust's that goes on as long as it flows."""

    def __init__(self, value: bytes) -> None:
        self.app = SimpleNamespace(flow=FlowControl())
        self.delivered = 0
        self._value = value

    async def events(self) -> AsyncIterator[Any]:
        while True:
            if self.app.flow.open_of({ONE}):
                self.delivered += 1
                offset, value = self.delivered, self._value
                yield SimpleNamespace(message=message(offset, value))
            await asyncio.sleep(0)


def message(offset: int, value: bytes) -> Any:
    record = Record(TOPIC, 0, offset, 0, b"k", value, [])
    return SimpleNamespace(record=record, timestamp=0.0, **record._asdict())


def test_what_waits_to_be_taken_is_bounded_in_bytes() -> None:
    """Review 5.8: 131,072 messages of any size."""

    async def live() -> None:
        size = inbox.WAITING_BYTES // 8
        stream, may_take, taken = Stream(bytes(size)), asyncio.Event(), []

        async def take(records: list[Record]) -> None:
            await may_take.wait()
            taken.extend(records)

        reading = asyncio.create_task(in_batches(stream, take, 500))
        await until_async(lambda: not stream.app.flow.open_of({ONE}), "the topic is held back")
        for _ in range(100):
            await asyncio.sleep(0)
        assert stream.delivered * size < 2 * inbox.WAITING_BYTES
        may_take.set()
        await until_async(lambda: len(taken) > 100, "it flows again")
        assert [record.offset for record in taken] == list(range(1, len(taken) + 1)), "nothing is left out"
        reading.cancel()

    run(live)


def test_what_is_taken_at_once_is_bounded_in_bytes() -> None:
    """What is taken is decoded, and waits in memory while the database is away."""

    async def live() -> None:
        stream, sizes = Stream(bytes(faust_app.TAKE_BYTES // 4)), []

        async def take(records: list[Record]) -> None:
            sizes.append(len(records))
            await until_async(lambda: not stream.app.flow.open_of({ONE}), "much is waiting")

        reading = asyncio.create_task(in_batches(stream, take, 500))
        await until_async(lambda: len(sizes) > 3)
        assert max(sizes) <= 4
        reading.cancel()

    run(live)


def test_while_a_taker_takes_or_records_wait_for_it_the_flow_is_behind() -> None:
    async def live() -> None:
        stream, free, begun = Stream(b""), asyncio.Event(), asyncio.Event()
        assert not stream.app.flow.is_behind()

        async def take(records: list[Record]) -> None:
            stream.app.flow.hold(ONE, True)
            begun.set()
            await free.wait()

        reading = asyncio.create_task(in_batches(stream, take, 10_000))
        await begun.wait()
        assert stream.app.flow.is_behind()
        free.set()
        await until_async(lambda: not stream.app.flow.is_behind(), "all is taken")
        reading.cancel()

    run(live)


def test_what_faust_has_fetched_is_bounded_in_bytes_whoever_takes_it(tmp_path: Path) -> None:
    """Review 5.8: Faust's own queue counted 131,072 messages of all partitions together, whatever their size."""

    async def live() -> None:
        app = make_app("group", Settings(data=tmp_path))
        app.flow_control.resume()
        queue = app.FlowControlQueue(maxsize=131_072, clear_on_resume=True)
        size, put = faust_parts.HANDED_OVER_BYTES // 4, 0
        while app.flow.open_of({ONE}):
            await queue.put(SimpleNamespace(message=message(put, bytes(size))))
            put += 1
            assert put * size < 2 * faust_parts.HANDED_OVER_BYTES, "it is held back"
        app.flow.hold(ONE, True)
        while not app.flow.open_of({TWO}):
            assert (await queue.get()).message.record.offset == put - queue.qsize() - 1
        app.flow.hold(ONE, False)
        assert app.flow.open_of({ONE, TWO}) == {ONE, TWO}
        for _ in range(4):
            await queue.put(SimpleNamespace(message=message(put, bytes(size))))
        assert not app.flow.open_of({ONE})
        app.flow_control.resume()  # a rebalance: Faust throws away what it has fetched
        assert (queue.size_bytes, app.flow.open_of({ONE})) == (0, {ONE})

    run(live)


def test_streams_read_from_measured_queues(tmp_path: Path) -> None:
    async def live() -> None:
        app = make_app("group", Settings(data=tmp_path))
        assert isinstance(app.topic(TOPIC, value_serializer="raw").queue, faust_parts.MeasuredQueue)

    run(live)


def test_a_partition_is_sought_in_the_thread_that_reads_fetches() -> None:
    """Elsewhere, a seek in the middle of a fetch ended the consumer, and the process (KeyError)."""

    async def live() -> None:
        there, sought = asyncio.new_event_loop(), []
        thread = threading.Thread(target=there.run_forever)
        thread.start()
        consumer: Any = object.__new__(CommittedConsumer)
        consumer._read_offset = {}
        consumer.log = SimpleNamespace(dev=lambda *_: None)
        aiokafka = SimpleNamespace(seek=lambda *place: sought.append((threading.get_ident(), *place)))
        consumer._thread = SimpleNamespace(thread_loop=there, _ensure_consumer=lambda: aiokafka)
        await consumer.seek(ONE, 7)
        there.call_soon_threadsafe(there.stop)
        thread.join(30)
        there.close()
        assert sought == [(thread.ident, ONE, 7)]
        assert consumer._read_offset == {ONE: 7}

    run(live)


def test_calls_that_hang_leave_threads_for_others() -> None:
    """The snapshots of many pools, while the object store is away."""

    async def live() -> None:
        together = threading.Barrier(60, timeout=30)
        await asyncio.gather(*(asyncio.to_thread(together.wait) for _ in range(60)))

    asyncio.run(_with_threads(live()))


class Cluster:
    """What a group's leader knows of topics."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(self.partitions))


def test_an_assignment_says_for_how_many_partitions_it_was_made(tmp_path: Path) -> None:
    async def live() -> None:
        app = make_app("group", Settings(data=tmp_path))
        leader, follower = app.assignor, type(app.assignor)(app, replicas=1)
        members = {name: one.metadata({TOPIC}) for name, one in (("leader", leader), ("follower", follower))}
        for partitions in (3, 4):
            assigned = leader.assign(Cluster(partitions), members)
            assert not leader.assigned or partitions == 4
            for name, one in (("leader", leader), ("follower", follower)):
                one.on_assignment(type(assigned[name]).decode(assigned[name].encode()))
                assert (one.assigned, one.covered(TOPIC)) == (True, partitions)
            found = sorted(p for one in assigned.values() for _, ps in one.assignment for p in ps)
            assert found == list(range(partitions))

    run(live)


def member(cluster: Cluster, covered: Callable[[str], int], joins: list[int]) -> Any:
    """A member of a group, as `keep_whole` knows one: it has no assignment, and `joins` gets the size of the topic at
    each join."""
    return SimpleNamespace(
        assignor=SimpleNamespace(assigned=False, covered=covered),
        consumer=SimpleNamespace(
            _thread=SimpleNamespace(
                thread_loop=asyncio.get_running_loop(),
                _consumer=SimpleNamespace(
                    _client=SimpleNamespace(cluster=cluster),
                    _coordinator=SimpleNamespace(request_rejoin=lambda: joins.append(cluster.partitions)),
                ),
            )
        ),
    )


def test_a_member_joins_anew_while_partitions_are_not_shared_out() -> None:
    async def live() -> None:
        joins: list[int] = []
        shared_out, cluster = [1], Cluster(2)
        app = member(cluster, lambda topic: shared_out[0], joins)
        watching = asyncio.create_task(assignment.keep_whole(app, TOPIC))
        await asyncio.sleep(60)
        assert joins == [], "not before it has joined at all"
        app.assignor.assigned = True
        await asyncio.sleep(600)
        assert 5 < joins.count(2) < 20, "it joins, and again while that did not help, but less and less often"
        shared_out[0] = 2
        await asyncio.sleep(60)
        joined = len(joins)
        await asyncio.sleep(600)
        assert len(joins) == joined, "it joins no more once all is shared out"
        cluster.partitions = 3
        await asyncio.sleep(1)
        assert joins[joined:] == [3], "it joins for the third partition at once"
        watching.cancel()

    SimulatedTime().run(live)


def test_a_call_that_no_server_answers_does_not_hold_up_the_end() -> None:
    """Python waits at the end of an event loop for all that runs in threads: a store that hung held up a stop."""
    begun, answered = threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        assert answered.wait(20)

    async def serve() -> None:
        calling = asyncio.get_running_loop().run_in_executor(None, call)
        await until_async(begun.is_set, "the call has begun")
        calling.cancel()

    try:
        asyncio.run(_with_threads(serve()))
        assert not answered.is_set()
        assert any(thread.name.startswith("calls") for thread in threading.enumerate())
    finally:
        answered.set()
