"""Real broker and object store for node agents; servers of their own, because some tests kill them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.policy import Cluster, Policy, Pool, Tier
from contract.topics import topics_for
from local.services import Services, running
from registry.manifest import blob_key, digest_of, encode_manifest
from registry.model_directory import read_model_directory
from runtime.kafka import ensure_topics
from runtime.object_store import ObjectStore
from tests.integration.gpu_worker.by_hand import HandScheduler, NodeProcess, SteadyNode, model_directory

CLUSTER = "main"


@pytest.fixture(scope="package")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with running(tmp_path_factory.mktemp("servers"), durable=False) as started:
        ensure_topics(
            started.settings.brokers,
            topics_for(
                Policy(
                    tiers={"api": Tier(1000)},
                    pools={"main": Pool(0)},
                    clusters={CLUSTER: Cluster("main", 10)},
                )
            ),
        )
        yield started


@pytest.fixture(scope="package")
def noop(servers: Services) -> str:
    """The noop model, published: its version."""
    return published(servers, Path("examples/models/noop"))


@pytest.fixture(scope="package")
def odd(servers: Services, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that does what no model should, published: its version."""
    return published(servers, model_directory(tmp_path_factory.mktemp("odd")))


def published(servers: Services, directory: Path) -> str:
    """Put the directory's blobs and manifest where a depot looks for them: all that a node sees of a registry."""
    store = ObjectStore(servers.settings)
    model = read_model_directory(directory)
    for file, path in model.sources():
        store.put(blob_key(file.sha256), path.read_bytes())
    version = digest_of(model.manifest)
    store.put(blob_key(version), encode_manifest(model.manifest))
    return version


@pytest.fixture
def scheduler(servers: Services) -> Iterator[HandScheduler]:
    scheduler = HandScheduler(servers.settings, CLUSTER)
    yield scheduler
    scheduler.close()


@pytest.fixture
def node(servers: Services, scheduler: HandScheduler, tmp_path: Path) -> Iterator[NodeProcess]:
    """A node of the test's own, not started yet."""
    node = NodeProcess(servers.settings, CLUSTER, scheduler, tmp_path)
    yield node
    node.end()


@pytest.fixture(scope="package")
def steady(servers: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteadyNode]:
    """A node of one slot that serves test after test; each leaves it idle."""
    scheduler = HandScheduler(servers.settings, CLUSTER)
    node = NodeProcess(servers.settings, CLUSTER, scheduler, tmp_path_factory.mktemp("steady"))
    yield SteadyNode(node, node.start(slots=1, name="steady"))
    node.end()
    scheduler.close()
