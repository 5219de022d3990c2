"""Ranks of a gang on real node agents, broker and object store, with orders sent by hand."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.codec import decode_result
from contract.inputs import Failed, Started, Stopped, Succeeded
from contract.orders import Kill, Run
from contract.results import INPUTS_NAME, MANIFEST_NAME, attempt_prefix
from gpu_worker.child.work import rendezvous_here
from local.services import Services
from runtime.object_store import ObjectStore
from tests.gang_model import gang_model
from tests.integration.gpu_worker.by_hand import HandScheduler, NodeProcess
from tests.integration.gpu_worker.conftest import CLUSTER, published

BYTES_MAX = 2**26
"""More than any object here has."""

SUM = {"sum": [3, 20], "world": 2}


@pytest.fixture(scope="module")
def version(servers: Services, tmp_path_factory: pytest.TempPathFactory) -> str:
    return published(servers, gang_model(tmp_path_factory.mktemp("gang") / "model", "gang", 2))


Nodes = Callable[[str, int], tuple[NodeProcess, str]]


@pytest.fixture
def nodes(servers: Services, scheduler: HandScheduler, tmp_path: Path) -> Iterator[Nodes]:
    """(name, slots) -> a node of the test's own that has joined, and its session."""
    started = []

    def start(name: str, slots: int) -> tuple[NodeProcess, str]:
        (tmp_path / name).mkdir()
        node = NodeProcess(servers.settings, CLUSTER, scheduler, tmp_path / name)
        started.append(node)
        return node, node.start(slots=slots, name=name)

    yield start
    for node in started:
        node.end()


def values(servers: Services, order: Run) -> Any:
    store, prefix = ObjectStore(servers.settings), attempt_prefix(order.job, order.dispatch)
    assert store.list(prefix) == sorted(prefix + name for name in ("rank.txt", INPUTS_NAME, MANIFEST_NAME))
    assert store.get(prefix + "rank.txt", BYTES_MAX) == b"0"
    return msgspec.json.decode(decode_result(store.get(prefix + MANIFEST_NAME, BYTES_MAX)).values)


def on_two_nodes(scheduler: HandScheduler, nodes: Nodes, version: str, **inputs: int) -> tuple[Run, Run, NodeProcess]:
    """The orders of a gang's two nodes, sent; and the node of rank 1."""
    (_, near), (node, far) = nodes("near", 1), nodes("far", 1)
    first = scheduler.run(near, version, inputs, node="near", ranks=(0,), world=2, rendezvous=rendezvous_here())
    second = msgspec.structs.replace(first, node="far", session=far, ranks=(1,))
    scheduler.send(second)
    scheduler.send(first)
    return first, second, node


def test_two_ranks_on_one_node_are_one_attempt(
    servers: Services, scheduler: HandScheduler, nodes: Nodes, version: str
) -> None:
    node, session = nodes("pair", 2)
    order = scheduler.run(session, version, {}, node="pair", ranks=(0, 1), world=2)
    scheduler.send(order)
    assert isinstance(scheduler.ended(order.dispatch), Succeeded)
    assert values(servers, order) == SUM
    assert [type(report) for report in scheduler.reports(order.dispatch)] == [Started, Succeeded]
    scheduler.heartbeat(session, lambda h: h.running == ())
    assert node.scratch_is_empty()
    assert node.children() == []


def test_two_ranks_on_two_nodes_are_one_attempt(
    servers: Services, scheduler: HandScheduler, nodes: Nodes, version: str
) -> None:
    first, second, node = on_two_nodes(scheduler, nodes, version)
    assert isinstance(scheduler.ended(first.dispatch), Succeeded)
    assert values(servers, first) == SUM
    assert [type(report) for report in scheduler.reports(first.dispatch)] == [Started, Succeeded]
    scheduler.heard.clear()
    for _ in range(3):
        scheduler.heartbeat(second.session, lambda h: h.running == (second.dispatch,))
        scheduler.heard.clear()
    scheduler.send(Kill("far", second.session, "main", 1, second.job, second.dispatch))
    scheduler.heartbeat(second.session, lambda h: h.running == ())
    assert scheduler.reports(first.dispatch) == [Stopped(second.job, second.dispatch, "killed")]
    assert node.scratch_is_empty()


def test_a_rank_that_dies_is_told_by_its_node_and_the_other_is_stopped(
    scheduler: HandScheduler, nodes: Nodes, version: str
) -> None:
    first, second, node = on_two_nodes(scheduler, nodes, version, sleep_ms=60_000)
    scheduler.started(first.dispatch)
    scheduler.until(lambda _: node.children() or None)
    os.kill(node.children()[0], signal.SIGKILL)
    assert scheduler.ended(first.dispatch) == Failed(second.job, second.dispatch, "child_died", "Signal9")
    scheduler.heard.clear()
    scheduler.send(Kill("near", first.session, "main", 1, first.job, first.dispatch))
    assert scheduler.ended(first.dispatch) == Stopped(first.job, first.dispatch, "killed")
