"""Kafka in memory: one broker, behind the three clients of confluent-kafka.

    with TwinKafka().installed() as kafka:
        kafka.create(topics_for(policy))
        producer = runtime.kafka.Producer(kafka.brokers, "me")

Theory of operation. Nothing here runs by itself. Every call of a client first lets the producers hand over what is due
(`work`), then looks, and waits if it must for another client's call or for the next moment at which something is due.
A clock says when that is: the machine's, or a simulated one (tests.twin.simulated).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from confluent_kafka import KafkaError

from contract.topics import Topic
from runtime import kafka_clients
from runtime.kafka import Record
from runtime.kafka_credentials import Brokers
from tests.twin.admin import TwinAdmin
from tests.twin.consumer import TwinConsumer
from tests.twin.faults import Faults
from tests.twin.groups import Groups
from tests.twin.log import Entry, Headers, PartitionLog
from tests.twin.message import TwinClusterMetadata, TwinPartitionMetadata, TwinTopicMetadata, failure
from tests.twin.producer import TwinProducer
from tests.twin.world import MachineWorld, World

BROKER_RECORD_BYTES_MAX = 1_048_588
"""A topic's `max.message.bytes` where nobody set another."""
OVER_S = 1e-9
"""So little time left is none."""

_numbers = itertools.count(1)


class TwinTopic:
    def __init__(self, partitions: int, config: Mapping[str, str]) -> None:
        self.logs = [PartitionLog() for _ in range(partitions)]
        self.config = dict(config)
        self.held_writes: set[int] = set()
        """Partitions of which what is sent stays with its producers."""
        self.held_acks: set[int] = set()
        """Partitions of which what is written is not acknowledged."""

    @property
    def record_bytes_max(self) -> int:
        return int(self.config.get("max.message.bytes", BROKER_RECORD_BYTES_MAX))

    @property
    def has_append_time(self) -> bool:
        return self.config.get("message.timestamp.type") == "LogAppendTime"


class TwinKafka:
    """A broker, and all that a test may do to it."""

    def __init__(self, *, world: World | None = None, faults: Faults | None = None) -> None:
        self.world: World = world or MachineWorld()
        self.faults = faults or Faults()
        self.bootstrap = f"twin-{next(_numbers)}.invalid:9092"
        self.brokers = Brokers(self.bootstrap)
        self.topics: dict[str, TwinTopic] = {}
        self.settings: dict[str, str] = {"auto.create.topics.enable": "false"}
        """Of the broker."""
        self.busy: dict[TwinProducer, None] = {}
        """Producers that have something under way, in the order in which they began."""
        self.producers: list[TwinProducer] = []
        self.consumers: list[TwinConsumer] = []
        """Every one that was made."""
        self.groups = Groups(self)
        self.clock_ahead_ms = 0
        """How far the broker's wall clock is ahead of ours."""
        self._away = False
        self._cut_off: set[str] = set()

    # -- what a test does --------------------------------------------------------------------------------------------

    def create(self, topics: Iterable[Topic]) -> None:
        with self.world.lock:
            for topic in topics:
                self.topics[topic.name] = TwinTopic(topic.partitions, topic.config)
            self.world.changed()

    def go_away(self) -> None:
        """No client reaches the broker until `come_back`."""
        self._set(away=True)

    def come_back(self) -> None:
        self._set(away=False)

    def cut_off(self, *client_ids: str) -> None:
        """These clients alone do not reach the broker until `reconnect`."""
        with self.world.lock:
            self._cut_off |= set(client_ids)
            self.world.changed()

    def reconnect(self, *client_ids: str) -> None:
        """These clients reach the broker again; without a name all do."""
        with self.world.lock:
            self._cut_off -= set(client_ids or self._cut_off)
            self.world.changed()

    def break_consumers(self, client_id: str, *, polls: int = -1, at_close: bool = True) -> None:
        """Those of this client that there are now fail: at every poll from now on, or at so many; and when they are
        closed."""
        for consumer in self._consumers_of(client_id):
            consumer.failing_polls, consumer.fails_at_close = polls, at_close

    def break_producers(self, client_id: str) -> None:
        """Those of this client that there are now meet a fatal error."""
        for producer in [producer for producer in self.producers if producer.client_id == client_id]:
            producer.break_()

    def deafen_consumers(self, client_id: str, *, deaf: bool = True) -> None:
        """Those of this client that there are now get nothing more, and no error; or hear again."""
        for consumer in self._consumers_of(client_id):
            consumer.is_deaf = deaf

    def _consumers_of(self, client_id: str) -> list[TwinConsumer]:
        with self.world.lock:
            self.world.changed()
            return [consumer for consumer in self.consumers if consumer.client_id == client_id]

    def hold_writes(self, topic: str, partition: int = 0) -> None:
        """What is sent to this partition stays with its producers until `release`."""
        with self.world.lock:
            self.topics[topic].held_writes.add(partition)

    def hold_acks(self, topic: str, partition: int = 0) -> None:
        """What is sent to this partition is written, and nobody hears of that until `release`."""
        with self.world.lock:
            self.topics[topic].held_acks.add(partition)

    def release(self, topic: str) -> None:
        with self.world.lock:
            self.topics[topic].held_writes.clear()
            self.topics[topic].held_acks.clear()
            self.world.changed()

    def log(self, topic: str, partition: int = 0) -> PartitionLog:
        return self.topics[topic].logs[partition]

    def write(
        self,
        topic: str,
        value: bytes | None,
        *,
        partition: int = 0,
        key: bytes | None = None,
        headers: Headers = (),
        transaction: str = "",
    ) -> int:
        """Write a record at once, also one that no producer of ours would write; its offset."""
        with self.world.lock:
            entry = self.log(topic, partition).append(self.now_ms(), key, value, headers, transaction)
            self.world.changed()
            return entry.offset

    def records(self, topic: str, partition: int = 0, start: int = 0) -> list[Record]:
        """All that can be read from this offset on."""
        with self.world.lock:
            entries = self.log(topic, partition).from_offset(start, committed=True)
            return [record_of(topic, partition, entry) for entry in entries]

    @contextmanager
    def installed(self) -> Iterator[TwinKafka]:
        """Inside, every client that names `bootstrap` is one of this broker; all others are real."""

        def of(kind: Callable[[TwinKafka, Mapping[str, Any]], Any], real: Callable[..., Any]) -> Callable[..., Any]:
            def make(config: Mapping[str, Any]) -> Any:
                return kind(self, config) if config["bootstrap.servers"] == self.bootstrap else real(config)

            return make

        with (
            patch.object(kafka_clients, "consumer", of(TwinConsumer, kafka_clients.consumer)),
            patch.object(kafka_clients, "producer", of(TwinProducer, kafka_clients.producer)),
            patch.object(kafka_clients, "admin_client", of(TwinAdmin, kafka_clients.admin_client)),
        ):
            yield self

    # -- what its clients ask ----------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """The broker's wall clock."""
        return self.world.wall_ms() + self.clock_ahead_ms

    def is_reached_by(self, client_id: str) -> bool:
        return not self._away and client_id not in self._cut_off

    def wait_until(self, holds: Callable[[], object], timeout_s: float) -> bool:
        """With the lock held: wait, and let time do its work meanwhile; whether it came true within the time."""
        over_s = self.world.now_s() + timeout_s
        while True:
            self.work()
            if holds():
                return True
            now_s = self.world.now_s()
            if over_s - now_s <= OVER_S:
                return False
            self.world.wait(max(OVER_S, min(over_s, self._next_due_s()) - now_s))

    def work(self) -> None:
        """With the lock held: do what is due."""
        now_s = self.world.now_s()
        for producer in list(self.busy):
            producer.work(now_s)
        self.groups.work(now_s)

    def metadata(self, client_id: str, topic: str | None, timeout_s: float) -> TwinClusterMetadata:
        with self.world.lock:
            if not self.wait_until(lambda: self.is_reached_by(client_id), timeout_s):
                raise failure(KafkaError._TRANSPORT, "Failed to get metadata: Local: Broker transport failure")
            names = list(self.topics) if topic is None else [topic]
            return TwinClusterMetadata({name: self._metadata_of(name) for name in names}, {1: None})

    def _metadata_of(self, name: str) -> TwinTopicMetadata:
        if name not in self.topics:
            return TwinTopicMetadata(name, {}, KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        number = len(self.topics[name].logs)
        return TwinTopicMetadata(name, {n: TwinPartitionMetadata(n) for n in range(number)})

    def partitions_of(self, topic: str) -> int:
        return len(self.topics[topic].logs) if topic in self.topics else 0

    def _next_due_s(self) -> float:
        dues = [producer.next_due_s() for producer in self.busy]
        return min([*dues, self.groups.next_due_s()], default=float("inf"))

    def _set(self, *, away: bool) -> None:
        with self.world.lock:
            self._away = away
            self.world.changed()


def record_of(topic: str, partition: int, entry: Entry, follows: int | None = None) -> Record:
    """As aiokafka reads it: names of headers are texts whatever they were, values may be None."""
    headers: list[Any] = [
        (name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name, value)
        for name, value in entry.headers
    ]
    return Record(topic, partition, entry.offset, entry.timestamp_ms, entry.key, entry.value, headers, follows)
