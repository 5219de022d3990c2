"""What clients of the broker keep in memory is bounded in bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contract.bounds import MESSAGE_BYTES_MAX
from contract.topics import Topic
from runtime import kafka_clients
from runtime.kafka import Producer, Reader
from tests.twin.kafka import TwinKafka

ONE = {"max.message.bytes": str(MESSAGE_BYTES_MAX)}


def test_a_reader_gives_no_record_more_once_it_has_so_many_bytes() -> None:
    with TwinKafka().installed() as kafka:
        kafka.create([Topic("t", 1, ONE)])
        for _ in range(10):
            kafka.write("t", bytes(1_000))
        reader = Reader(kafka.brokers, {("t", 0): 0})
        assert [len(reader.read(1, 500, 2_500)) for _ in range(4)] == [3, 3, 3, 1]
        reader.close()
        again = Reader(kafka.brokers, {("t", 0): 0})
        assert [len(again.read(1, 4)) for _ in range(3)] == [4, 4, 2]
        again.close()


def test_one_record_larger_than_that_is_given_all_the_same() -> None:
    with TwinKafka().installed() as kafka:
        kafka.create([Topic("t", 1, ONE)])
        kafka.write("t", bytes(5_000))
        kafka.write("t", b"")
        reader = Reader(kafka.brokers, {("t", 0): 0})
        assert [len(reader.read(1, 500, 10)) for _ in range(2)] == [1, 1]
        reader.close()


def test_the_librarys_own_queues_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its defaults: 64 MiB a consumer, 1 GiB a producer."""
    given: dict[str, Any] = {}

    def noting(make: Callable[[kafka_clients.Config], Any]) -> Callable[[kafka_clients.Config], Any]:
        def made(config: kafka_clients.Config) -> Any:
            given.update(config)
            return make(config)

        return made

    with TwinKafka().installed() as kafka:
        monkeypatch.setattr(kafka_clients, "consumer", noting(kafka_clients.consumer))
        monkeypatch.setattr(kafka_clients, "producer", noting(kafka_clients.producer))
        kafka.create([Topic("t", 1, ONE)])
        Reader(kafka.brokers, {("t", 0): 0}).close()
        Producer(kafka.brokers, "p").close()
    assert given["queued.max.messages.kbytes"] <= 16_384
    assert given["queue.buffering.max.kbytes"] <= 65_536
