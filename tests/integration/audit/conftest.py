from __future__ import annotations

from collections.abc import Iterator

import pytest

import migrations
from contract.topics import topics_for
from local.services import Services, running
from runtime.kafka import ensure_topics
from tests.integration.audit.host import Host
from tests.unit.audit.ledger import POLICY


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Servers of these tests' own: the topics have fixed names, and words must go soon."""
    with running(tmp_path_factory.mktemp("audit"), words_kept_ms=POLICY.words_kept_ms, durable=False) as started:
        ensure_topics(started.settings.brokers, topics_for(POLICY))
        migrations.upgrade(started.settings.database_url)
        yield started


@pytest.fixture(scope="session")
def host(servers: Services) -> Iterator[Host]:
    """A scheduler and a projector in a thread."""
    host = Host(servers.settings)
    host.start()
    yield host
    host.stop()
