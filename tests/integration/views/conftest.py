"""A real Postgres with the read models' tables. Each test uses a pool of its own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

import migrations
from local.services import Services
from runtime import postgres
from tests.unit.views.ledger import Ledger


@pytest.fixture(scope="session")
def engine(services: Services) -> Iterator[Engine]:
    migrations.upgrade(services.settings.database_url)
    engine = postgres.engine(services.settings)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger() -> Ledger:
    """The ledger of a pool that no other test has, opened, with policy, a version and one node."""
    ledger = Ledger("p" + uuid.uuid4().hex[:12])
    ledger.open()
    ledger.adopt()
    ledger.register()
    ledger.admit("n-1")
    return ledger
