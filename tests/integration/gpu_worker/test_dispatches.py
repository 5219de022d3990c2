"""Orders on a real broker: none is missed, whatever the moment."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from contract.codec import encode
from contract.names import dispatch_partition
from contract.orders import Load, Order
from contract.topics import Topic, dispatch_topic
from local.services import Services
from runtime.kafka import Producer, ensure_topics
from runtime.worker.order_reader import OrderReader

DEADLINE_S = 20.0
NODE, SESSION = "node-1", "s1"


class Place:
    """A dispatch topic of its own and someone who listens to it."""

    def __init__(self, servers: Services) -> None:
        self.kafka = servers.settings.brokers
        self.cluster = f"cluster-{uuid.uuid4().hex[:8]}"
        self.producer = Producer(self.kafka, "test")
        self.heard: SimpleQueue[Order] = SimpleQueue()
        self.write_when_positioned: bytes | None = None
        self.positions: SimpleQueue[str] = SimpleQueue()

    def have(self, partitions: int) -> None:
        ensure_topics(self.kafka, [Topic(dispatch_topic(self.cluster), partitions, {"retention.ms": "3600000"})])

    def write(self, value: bytes, partition: int = 0) -> None:
        self.producer.send_and_wait(dispatch_topic(self.cluster), value, partition=partition)

    def listen(self, partitions_every_s: float = 60.0) -> OrderReader:
        dispatches = OrderReader(self.kafka, self.cluster, NODE, SESSION, self, partitions_every_s=partitions_every_s)
        dispatches.start()
        return dispatches

    def positioned(self, session: str) -> None:
        if self.write_when_positioned is not None:
            self.write(self.write_when_positioned)
        self.positions.put(session)

    def ordered(self, orders: list[Order]) -> None:
        for order in orders:
            self.heard.put(order)


@pytest.fixture
def place(servers: Services) -> Iterator[Place]:
    place = Place(servers)
    yield place
    place.producer.close()


def load(version: str, node: str = NODE) -> Load:
    return Load(node, SESSION, "main", 1, "sha256:" + hashlib.sha256(version.encode()).hexdigest())


def test_an_order_sent_the_moment_the_node_may_join_is_heard(place: Place) -> None:
    place.have(1)
    place.write(encode(load("before")))
    place.write_when_positioned = encode(load("at once"))
    dispatches = place.listen()
    assert place.heard.get(timeout=DEADLINE_S) == load("at once")
    dispatches.stop(DEADLINE_S)


def test_orders_to_others_and_what_is_no_order_are_passed_over(place: Place) -> None:
    place.have(1)
    dispatches = place.listen()
    place.positions.get(timeout=DEADLINE_S)
    for value in (encode(load("v", node="node-2")), b"not json", b"{}", encode(load("mine"))):
        place.write(value)
    assert place.heard.get(timeout=DEADLINE_S) == load("mine")
    dispatches.stop(DEADLINE_S)


def test_a_topic_that_is_not_there_yet_is_waited_for(place: Place) -> None:
    dispatches = place.listen()
    place.have(1)
    place.positions.get(timeout=DEADLINE_S)
    dispatches.stop(DEADLINE_S)


def test_a_topic_that_grows_is_followed_to_the_nodes_new_partition(place: Place) -> None:
    place.have(1)
    dispatches = place.listen(partitions_every_s=0.1)
    place.positions.get(timeout=DEADLINE_S)
    more = next(count for count in range(2, 50) if dispatch_partition(NODE, count) != 0)
    place.have(more)
    place.write(encode(load("in the new one")), dispatch_partition(NODE, more))
    assert place.heard.get(timeout=DEADLINE_S) == load("in the new one")
    place.write(encode(load("in the old one")), 0)
    assert place.heard.get(timeout=DEADLINE_S) == load("in the old one")
    dispatches.stop(DEADLINE_S)
