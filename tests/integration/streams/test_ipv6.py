"""A broker that has an address of IPv6 only: our clients and Faust's reach it under `[::1]:port`."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.events import JobSucceeded
from contract.topics import topics_for
from local.kafka_server import KafkaServer
from local.ports import free_port
from local.services import WORDS_KEPT_MS, Services
from runtime.kafka import Producer, ensure_topics
from runtime.settings import Settings
from tests.integration.streams.pool import POLICY, Pool
from tests.integration.streams.processes import Processes
from tests.waiting import until


@pytest.fixture
def settings(servers: Services, tmp_path: Path) -> Iterator[Settings]:
    """Of servers whose broker has no address of IPv4."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    port = free_port()
    broker = KafkaServer(
        tmp_path / "kafka",
        tmp_path / "logs",
        port=port,
        controller_port=free_port(not_in={port}),
        words_kept_ms=WORDS_KEPT_MS,
        host="::1",
    )
    broker.start()
    try:
        broker.await_ready()
        ensure_topics(broker.brokers, topics_for(POLICY))
        yield servers.settings.model_copy(update={"kafka": broker.bootstrap})
    finally:
        broker.stop()


def test_a_scheduler_reads_decides_and_sends_orders(settings: Settings, tmp_path: Path) -> None:
    assert settings.kafka.startswith("[::1]:")
    producer = Producer(settings.brokers, "test")
    processes = Processes(settings, tmp_path)
    pool = Pool.unused(settings, producer)

    def ended() -> bool:
        pool.work()
        return len(pool.count(JobSucceeded)) == 1

    try:
        processes.start("scheduler", "scheduler-ipv6")
        pool.setup()
        pool.join()
        pool.submit()
        until(ended, "the job succeeds")
    finally:
        pool.close()
        producer.close()
        processes.kill_all()
