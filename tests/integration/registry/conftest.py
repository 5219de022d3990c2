from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from contract.policy import Cluster, Policy, Pool, Tier
from local.services import Services
from registry import pools
from runtime import postgres
from runtime.object_store import ObjectStore
from runtime.settings import Settings
from tests.integration.databases import own_database
from tests.unit.registry.samples import write_model

POLICY = Policy(
    tiers={"free": Tier(slo_ms=60_000)},
    pools={"main": Pool(partition=0), "other": Pool(partition=1)},
    clusters={"local": Cluster(pool="main", limit=4)},
)


@pytest.fixture
def settings(services: Services) -> Iterator[Settings]:
    """The services' settings, with a database and a bucket of this test's own."""
    with own_database(services.settings, "registry") as own:
        yield own.model_copy(update={"s3_bucket": f"registry-{uuid.uuid4().hex[:12]}"})


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
