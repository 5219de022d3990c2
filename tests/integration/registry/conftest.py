from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

import migrations
from contract.policy import Cluster, Policy, Pool, Tier
from local.services import Services
from registry import pools
from runtime import postgres
from runtime.object_store import ObjectStore
from runtime.settings import Settings
from tests.unit.registry.samples import write_model

POLICY = Policy(
    tiers={"free": Tier(slo_ms=60_000)},
    pools={"main": Pool(partition=0), "other": Pool(partition=1)},
    clusters={"local": Cluster(pool="main", limit=4)},
)


@pytest.fixture
def settings(services: Services) -> Iterator[Settings]:
    """The services' settings, with a database and a bucket of this test's own."""
    name = "registry_" + uuid.uuid4().hex[:12]
    url = make_url(services.settings.database_url)
    admin = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    own = url.set(database=name).render_as_string(hide_password=False)
    migrations.upgrade(own)
    yield services.settings.model_copy(update={"database_url": own, "s3_bucket": name.replace("_", "-")})
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """The test's database, with the pools main (partition 0) and other (1)."""
    engine = postgres.engine(settings)
    pools.register(engine, POLICY)
    yield engine
    engine.dispose()


@pytest.fixture
def store(settings: Settings) -> ObjectStore:
    store = ObjectStore(settings)
    store.ensure_bucket()
    return store


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")
