from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import migrations
from contract.topics import topics_for
from local.services import Services, running
from registry import pools
from runtime import postgres
from runtime.kafka import Producer, ensure_topics
from tests.integration.streams.pool import POLICY, Pool
from tests.integration.streams.processes import Processes


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Servers of these tests' own, because the processors' topics have fixed names."""
    with running(tmp_path_factory.mktemp("streams"), durable=False) as started:
        ensure_topics(started.settings.brokers, topics_for(POLICY))
        migrations.upgrade(started.settings.database_url)
        engine = postgres.engine(started.settings)
        pools.register(engine, POLICY)
        engine.dispose()
        yield started


@pytest.fixture
def processes(servers: Services, tmp_path: Path) -> Iterator[Processes]:
    """Starts processors; kills those that are left at the end."""
    processes = Processes(servers.settings, tmp_path)
    yield processes
    processes.kill_all()


@pytest.fixture
def pool(servers: Services) -> Iterator[Pool]:
    """A pool, and so a partition of `jobs` and `ledger`, that no other test has."""
    producer = Producer(servers.settings.brokers, "test")
    pool = Pool.unused(servers.settings, producer)
    yield pool
    pool.close()
    producer.close()
