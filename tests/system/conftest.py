"""Two stacks for the tests that do not break them; a test that does starts its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.installation import POLICY, Installation, installation

CPUS = "  cpus: {pool: main, kind: prepare, limit: 8}\n"


@pytest.fixture(scope="session")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A running stack with the noop model published."""
    with installation(tmp_path_factory.mktemp("stack")) as started:
        started.publish_noop()
        yield started


@pytest.fixture(scope="session")
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A running stack of two nodes with two slots each, with the noop model published."""
    with installation(tmp_path_factory.mktemp("two-nodes"), nodes=2, slots=2) as started:
        started.publish_noop()
        yield started


@pytest.fixture(scope="session")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A running stack with a node and two CPU workers."""
    folder = tmp_path_factory.mktemp("workers")
    policy = folder / "policy.yaml"
    policy.write_text(POLICY.read_text().replace("clusters:\n", f"clusters:\n{CPUS}"))
    with installation(folder / "stack", policy=policy, cpu_workers=2) as started:
        yield started
