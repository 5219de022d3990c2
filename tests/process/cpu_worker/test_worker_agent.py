"""A CPU worker's agent with a broker and a store in memory: what it says, in which order, and what it leaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.inputs import NodeHeartbeat, NodeJoined, NodeLeft
from contract.orders import Drain, Kill, Order, Prepare
from contract.preparation_reports import PreparationDone, PreparationStopped
from contract.prepared import MANIFEST_NAME
from contract.signing import RecordSigner
from cpu_worker.agent import WorkerAgent
from cpu_worker.io.preparation_time import PreparationTime
from cpu_worker.world import WorkerWorld
from runtime.worker.node import NodeIdentity
from runtime.worker.scratch import Scratch
from tests.process.gpu_worker.agent_table import Broker
from tests.twin.object_store import StoreFaults
from tests.unit.cpu_worker.preparing_bench import UPLOAD, PreparingBench
from tests.unit.cpu_worker.worker_orders import NODE, OTHER, POOL, THIRD
from tests.waiting import until

VIDEO = {"video": f"upload:{UPLOAD}"}


class WorkerTable:
    """One slot. The decoder waits for `let`, unless the preparation is abandoned."""

    def __init__(self, folder: Path) -> None:
        (folder / "bench").mkdir()
        self.bench, self.broker = PreparingBench(folder / "bench"), Broker()
        self.let, self.decoding = threading.Event(), threading.Event()
        self.bench.decoder.decodes = self._decodes
        self.scratch = folder / "scratch"
        (self.scratch / "attempts" / "0.0.0").mkdir(parents=True)
        world = WorkerWorld(
            producer=self.broker,
            signer=RecordSigner(None),
            store=self.bench.store,
            blobs=self.bench.blobs,
            urls=self.bench.urls,
            read_payload=lambda *_: None,
            open_orders=self.broker.open_orders,
            decoder_of=lambda _: self.bench.decoder,
        )
        node = NodeIdentity("cpus", NODE, 1, "cpu", 0, 1_000, 0, 1, 30.0, kind="prepare")
        self.agent = WorkerAgent(node, world, Scratch(self.scratch), heartbeat_ms=100)
        self.status: list[int] = []
        self.thread = threading.Thread(target=lambda: self.status.append(self.agent.run()))
        self.thread.start()
        until(lambda: self.broker.said(NodeJoined), "it joined", 10)

    def _decodes(self, _: Path, time: PreparationTime) -> None:
        self.decoding.set()
        while not self.let.wait(0.01):
            time.look()

    def order(self, preparation: str = "1.1.0", **changes: Any) -> Prepare:
        return msgspec.structs.replace(
            self.bench.order(VIDEO, preparation=preparation, **changes), session=self.broker.sessions[-1]
        )

    def take(self, *orders: Order) -> None:
        self.agent.ordered(list(orders))

    def beat(self) -> NodeHeartbeat:
        """A heartbeat that is said from now on."""
        said = len(self.broker.said(NodeHeartbeat))
        until(lambda: len(self.broker.said(NodeHeartbeat)) > said + 1, "two more heartbeats", 10)
        found: NodeHeartbeat = self.broker.said(NodeHeartbeat)[-1]
        return found

    def leftovers(self) -> list[str]:
        return [path.name for path in (self.scratch / "attempts").iterdir()]


@pytest.fixture
def table(tmp_path: Path) -> Iterator[WorkerTable]:
    table = WorkerTable(tmp_path)
    yield table
    table.let.set()
    table.agent.stop()
    table.agent.stop()
    table.thread.join(20)
    assert not table.thread.is_alive()


def test_it_joins_as_what_it_is_and_finds_its_scratch_empty(table: WorkerTable) -> None:
    (joined,) = table.broker.said(NodeJoined)
    assert (joined.kind, joined.cluster, joined.slots, joined.holds) == ("prepare", "cpus", 1, 2)
    assert table.leftovers() == [], "what a worker that was killed left is gone"


def test_it_tells_each_phase_and_reports_once_all_is_stored(table: WorkerTable) -> None:
    order = table.order()
    table.take(order, order)
    until(table.decoding.is_set, "it decodes", 10)
    assert table.beat().running == ("1.1.0",)
    table.let.set()
    until(lambda: table.broker.reports(), "it reports", 10)
    (done,) = table.broker.reports()
    assert isinstance(done, PreparationDone)
    assert MANIFEST_NAME in table.bench.stored(order)
    assert [said.message for said in table.broker.progress] == ["fetching", "checking", "decoding", "storing"]
    until(lambda: table.leftovers() == [], "nothing is left on the disk", 10)
    assert table.beat().running == ()


def test_a_kill_ends_it_at_once_without_a_word_and_the_next_begins(table: WorkerTable) -> None:
    first, second = table.order(), table.order("1.2.0", job=OTHER)
    table.take(first, second)
    until(table.decoding.is_set, "it decodes", 10)
    table.decoding.clear()
    table.take(Kill(NODE, first.session, POOL, 1, first.job, first.preparation))
    until(table.decoding.is_set, "the next one is decoded", 10)
    beat = table.beat()
    assert (beat.running, beat.staged) == (("1.2.0",), ())
    assert table.broker.reports() == []
    assert table.bench.stored(first) == {}


def test_it_drains_when_it_is_told_to_stop(table: WorkerTable) -> None:
    table.take(table.order(), table.order("1.2.0", job=OTHER))
    until(table.decoding.is_set, "it decodes", 10)
    table.agent.stop()
    until(lambda: table.broker.reports(), "what waits goes back", 10)
    assert table.broker.reports() == [PreparationStopped(OTHER, "1.2.0", "drained")]
    table.let.set()
    table.thread.join(10)
    assert table.status == [0]
    assert isinstance(table.broker.reports()[1], PreparationDone), "what had begun was finished"
    assert table.broker.said(NodeLeft)


def test_told_twice_it_gives_back_what_it_has_begun(table: WorkerTable) -> None:
    order = table.order()
    table.take(order)
    until(table.decoding.is_set, "it decodes", 10)
    table.agent.stop()
    table.agent.stop()
    table.thread.join(10)
    assert table.broker.reports() == [PreparationStopped(order.job, order.preparation, "drained")]
    assert table.bench.stored(order) == {}


def test_an_order_to_drain_is_obeyed(table: WorkerTable) -> None:
    table.take(Drain(NODE, table.broker.sessions[-1], POOL, 1), table.order(job=THIRD))
    until(lambda: table.broker.reports(), "it gives the order back", 10)
    assert table.broker.reports() == [PreparationStopped(THIRD, "1.1.0", "drained")]
    assert table.beat().draining


def test_a_heartbeat_says_that_the_store_is_waited_for(table: WorkerTable) -> None:
    table.bench.store.state.faults = StoreFaults(away=True)
    table.take(table.order())
    until(lambda: table.broker.said(NodeHeartbeat)[-1].holding == "store", "it says so", 10)
    table.bench.store.mend()
    table.let.set()
    until(lambda: table.broker.reports(), "it goes on", 15)
    assert isinstance(table.broker.reports()[0], PreparationDone)
    until(lambda: table.broker.said(NodeHeartbeat)[-1].holding == "", "and says that it waits no more", 10)
