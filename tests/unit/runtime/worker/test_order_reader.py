"""The reader of orders on a topic made of lists: another reader replaces a broken one, at the same place."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest
from prometheus_client import REGISTRY

from contract.codec import encode
from contract.orders import Load, Order
from runtime.kafka import OffsetGone, Record
from runtime.worker import order_reader
from runtime.worker.order_reader import FAILURES_MAX, OrderReader
from tests.waiting import until

NODE, SESSION, TOPIC = "node-1", "s1", "dispatch.main"


class Topic:
    """Partition 0 of the topic, and every reader that was made."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.readers: list[Any] = []
        self.broken: set[int] = set()
        """Readers, by number, that fail at every read, and when they are closed."""
        self.deaf: set[int] = set()
        """Readers, by number, that read nothing and report no error."""
        self.cut = False
        """The next read finds its place gone, and cannot even be closed."""
        self.written = threading.Semaphore(0)
        """Never released, so that a reader waits its full time."""
        self.faults = 0
        """How many of the next reads fail."""
        self.unopenable = 0
        """How many of the next readers cannot be made."""

    def open(self, _bootstrap: str, starts: dict[tuple[str, int], Any], *, client_id: str) -> Any:
        if self.unopenable:
            self.unopenable -= 1
            raise RuntimeError("no reader")
        reader = Reader(self, len(self.readers), starts)
        self.readers.append(reader)
        return reader


class Reader:
    def __init__(self, topic: Topic, number: int, starts: dict[tuple[str, int], Any]) -> None:
        self.topic, self.number, self.closed = topic, number, False
        ((self.place, start),) = starts.items()
        self.at = len(topic.values) if start == "end" else start

    def read(self, timeout_s: float) -> list[Record]:
        self.topic.written.acquire(timeout=min(timeout_s, 0.01))
        offsets = range(self.at, len(self.topic.values))
        if self.number in self.topic.broken:
            raise RuntimeError("fatal")
        if self.number in self.topic.deaf:
            return []
        if self.topic.cut:
            self.topic.cut = False
            self.topic.broken.add(self.number)
            raise OffsetGone("cut")
        if self.topic.faults:
            self.topic.faults -= 1
            raise RuntimeError("away")
        self.at = offsets.stop
        return [Record(TOPIC, 0, offset, 0, None, self.topic.values[offset], []) for offset in offsets]

    def position(self, place: tuple[str, int]) -> int:
        assert place == self.place
        return int(self.at)

    def close(self) -> None:
        self.closed = True
        if self.number in self.topic.broken:
            raise RuntimeError("fatal")


class Heard:
    def __init__(self) -> None:
        self.orders: SimpleQueue[Order] = SimpleQueue()
        self.positions: SimpleQueue[str] = SimpleQueue()

    def positioned(self, session: str) -> None:
        self.positions.put(session)

    def ordered(self, orders: list[Order]) -> None:
        for order in orders:
            self.orders.put(order)


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    topic = Topic()
    monkeypatch.setattr(order_reader, "Reader", topic.open)
    monkeypatch.setattr(order_reader, "partitions", lambda *_: 1)
    monkeypatch.setattr(order_reader, "offsets", lambda *_: (0, len(topic.values)))
    monkeypatch.setattr(order_reader, "RETRY_S", 0.001)
    return topic


@pytest.fixture
def heard(topic: Topic) -> Iterator[Heard]:
    heard = Heard()
    reading = OrderReader("broker", "main", NODE, SESSION, heard, partitions_every_s=0.02)
    reading.start()
    heard.positions.get(timeout=10)
    yield heard
    reading.stop(10)


def load(number: int) -> Load:
    return Load(NODE, SESSION, "main", 1, f"sha256:{number:064x}")


def test_a_reader_that_fails_again_and_again_is_made_anew_where_it_was(topic: Topic, heard: Heard) -> None:
    topic.values.append(encode(load(1)))
    assert heard.orders.get(timeout=10) == load(1)
    topic.unopenable = 2
    topic.broken.add(0)
    topic.values.append(encode(load(2)))
    assert heard.orders.get(timeout=10) == load(2)
    assert len(topic.readers) == 2
    assert topic.readers[0].closed
    topic.broken.add(1)
    topic.values.append(encode(load(3)))
    assert heard.orders.get(timeout=10) == load(3)


def test_a_reader_that_fails_now_and_then_is_kept(topic: Topic, heard: Heard) -> None:
    for number in range(3):
        topic.faults = FAILURES_MAX - 1
        until(lambda: topic.faults == 0)
        topic.values.append(encode(load(number)))
        assert heard.orders.get(timeout=10) == load(number)
    assert len(topic.readers) == 1


def test_a_reader_that_stands_still_without_an_error_is_made_anew(topic: Topic, heard: Heard) -> None:
    topic.values.append(encode(load(1)))
    assert heard.orders.get(timeout=10) == load(1)
    topic.deaf.add(0)
    topic.values.append(encode(load(2)))
    assert heard.orders.get(timeout=10) == load(2)
    assert len(topic.readers) == 2


def test_a_reader_with_nothing_to_read_is_kept(topic: Topic, heard: Heard) -> None:
    looks = [0]

    def look(*_: Any) -> tuple[int, int]:
        looks[0] += 1
        return 0, len(topic.values)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(order_reader, "offsets", look)
        until(lambda: looks[0] > 3, "it is looked at several times")
    assert len(topic.readers) == 1


def test_a_reader_whose_place_is_gone_and_that_cannot_be_closed_is_made_anew(topic: Topic, heard: Heard) -> None:
    """Its thread would end otherwise, and the node would hear nothing more."""
    topic.cut = True
    until(lambda: len(topic.readers) == 2)
    topic.values.append(encode(load(1)))
    assert heard.orders.get(timeout=10) == load(1)


def test_what_is_no_order_is_counted_and_passed_over(topic: Topic, heard: Heard) -> None:
    def refused() -> float:
        return REGISTRY.get_sample_value("headrace_node_orders_refused_total") or 0.0

    before = refused()
    nowhere = Load(NODE, SESSION, "main", 1, "../../x")
    another = Load("node-2", SESSION, "main", 1, "../../x")
    topic.values += [b"\xff", b"{}", encode(nowhere), encode(another), encode(load(1))]
    assert heard.orders.get(timeout=10) == load(1)
    assert refused() == before + 3
