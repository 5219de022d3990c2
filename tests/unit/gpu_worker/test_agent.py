"""The agent between a broker made of lists and real children: what it says, when, and what waits for what."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from contract.codec import decode_progress, decode_wire
from contract.inputs import Failed, NodeHeartbeat, NodeJoined, NodeLeft, NodeReport, Started, Stopped, Succeeded, Wire
from contract.names import payload_digest
from contract.orders import Kill, Order, Payload, Rejoin, Run
from contract.results import EMPTY_MANIFEST
from contract.topics import JOBS
from gpu_worker.agent import Agent
from gpu_worker.gang import rendezvous_here
from gpu_worker.node import Node, World
from gpu_worker.scratch import Scratch
from gpu_worker.voice import Voice
from runtime.kafka import Delivery, DeliveryUnclear, OnDelivery
from tests.waiting import until

DEADLINE_S = 20.0
SALT, INPUTS = "ab" * 16, b"{}"
STAND_IN = Path(__file__).parents[2] / "torch_stand_in" / "torch"
MODEL = """
import time

class Model:
    def load(self, weights_dir, device, rank, world_size): pass
    def predict(self, inputs, ctx):
        while inputs.get("wait"): time.sleep(3600)
"""


class Broker:
    """A producer whose acks the test gives or withholds, and a reader of orders that the test feeds."""

    def __init__(self) -> None:
        self.acks = True
        self.held: list[OnDelivery] = []
        self.sent: list[tuple[Wire, dict[str, bytes]]] = []
        self.listener: Any = None
        self.sessions: list[str] = []
        self.positions = True

    def send(self, topic: str, value: bytes | None, *, on_delivery: OnDelivery | None = None, **more: Any) -> None:
        if topic != JOBS or on_delivery is None:
            return
        self.sent.append((decode_wire(value), dict(more["headers"])))
        if self.acks:
            on_delivery(Delivery(0, 0, 0))
        else:
            self.held.append(on_delivery)

    def open_orders(self, session: str, agent: Agent) -> Broker:
        self.listener = agent
        self.sessions.append(session)
        return self

    def start(self) -> None:
        if self.positions:
            self.listener.positioned(self.sessions[-1])

    def stop(self, wait_s: float = 0.0) -> None:
        pass

    def settle(self, result: Delivery | Exception) -> None:
        self.held.pop(0)(result)

    def said(self, kind: type) -> list[Any]:
        return [record for record, _ in list(self.sent) if isinstance(record, kind)]

    def reports(self) -> list[Any]:
        return [report for record in self.said(NodeReport) for report in record.reports]


class Table:
    def __init__(self, directory: Path, heartbeat_ms: int, *, slots: int = 1, python: str = sys.executable) -> None:
        shutil.copytree(STAND_IN, directory / "code" / "torch")
        (directory / "code" / "model.py").write_text(MODEL)
        self.broker = Broker()
        program: Any = SimpleNamespace(
            manifest=SimpleNamespace(entry_point="model:Model", outputs={"type": "object"}),
            code=directory / "code",
            weights=directory,
            python=Path(python),
        )
        broker: Any = self.broker
        nothing: Any = None
        world = World(
            producer=broker,
            store=nothing,
            depot=SimpleNamespace(ensure=lambda _version: program),
            cached=(),
            read_payload=lambda *_: None,
            open_orders=broker.open_orders,
            environment={"PATH": os.environ["PATH"]},
        )
        node = Node("main", "node-1", slots, "cpu", 0, 0, 0, 1, 5.0, "node-1.example:10000")
        self.agent = Agent(node, world, Scratch(directory / "scratch"), heartbeat_ms=heartbeat_ms)
        self.status: int | None = None
        self.thread = threading.Thread(target=self._run)
        self.number = 0

    def _run(self) -> None:
        self.status = self.agent.run()

    def order(self, **changes: Any) -> Run:
        self.number += 1
        payload = Payload(msgspec.Raw(INPUTS), SALT)
        job = f"main-{self.number:032d}"
        session = self.broker.sessions[-1]
        run = Run(
            "node-1", session, "main", 1, job, 1, f"1.{self.number}.0", "m", "v", 60_000, 0, 0,
            payload_digest(SALT, INPUTS), payload,
        )  # fmt: skip
        return msgspec.structs.replace(run, **changes)

    def waiting(self, **changes: Any) -> Run:
        """An order of an attempt that does not end by itself."""
        inputs = b'{"wait": true}'
        return self.order(payload=Payload(msgspec.Raw(inputs), SALT), digest=payload_digest(SALT, inputs), **changes)

    def take(self, *orders: Order) -> None:
        self.agent.ordered(list(orders))

    def turn(self) -> None:
        """Have the agent look at its clock and say what is due."""
        for _ in range(2):  # it looks between these
            called = threading.Event()
            self.agent._loop.post(called.set)
            assert called.wait(DEADLINE_S)


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    yield from started(Table(tmp_path, heartbeat_ms=60_000))


@pytest.fixture
def lively(tmp_path: Path) -> Iterator[Table]:
    """A node that sends a heartbeat every few milliseconds."""
    yield from started(Table(tmp_path, heartbeat_ms=5))


def started(table: Table) -> Iterator[Table]:
    table.thread.start()
    until(lambda: table.broker.sessions)
    try:
        yield table
    finally:
        table.broker.acks = True
        while table.broker.held:
            table.broker.settle(Delivery(0, 0, 0))
        table.agent.stop()
        table.agent.stop()
        table.thread.join(DEADLINE_S)
        assert not table.thread.is_alive()


running = contextmanager(started)


def test_it_joins_when_every_order_to_it_will_be_heard(tmp_path: Path) -> None:
    table = Table(tmp_path, heartbeat_ms=5)
    table.broker.positions = False
    with running(table):
        table.turn()  # a heartbeat is due, and may not be sent
        assert table.broker.sent == []
        table.agent.positioned(table.broker.sessions[-1])
        until(lambda: table.broker.said(NodeHeartbeat))
        assert isinstance(table.broker.sent[0][0], NodeJoined)


def test_no_child_computes_before_the_broker_has_its_started(table: Table) -> None:
    until(lambda: table.broker.said(NodeHeartbeat))
    table.broker.acks = False
    order = table.order()
    table.take(order)
    until(lambda: table.broker.reports() == [Started(order.job, order.dispatch)])
    assert table.agent.child_pids == [0]
    table.broker.acks = True
    table.broker.settle(Delivery(0, 0, 0))
    until(lambda: Succeeded(order.job, order.dispatch, EMPTY_MANIFEST) in table.broker.reports())


def test_a_record_that_did_not_get_through_is_sent_again_and_nothing_passes_it(table: Table) -> None:
    until(lambda: table.broker.said(NodeHeartbeat))
    table.broker.acks = False
    order, other = table.order(), table.order()
    table.take(order)
    until(lambda: table.broker.held)
    table.take(other, Kill("node-1", other.session, "main", 1, other.job, other.dispatch))
    first = table.broker.sent[-1]
    table.broker.settle(DeliveryUnclear("away"))
    until(lambda: table.broker.held)
    again = table.broker.sent[-1]
    assert again == first, "the same record, with the same CloudEvents id"
    assert first[1]["ce_id"] == again[1]["ce_id"]
    table.broker.acks = True
    table.broker.settle(Delivery(0, 0, 0))
    until(lambda: Succeeded(order.job, order.dispatch, EMPTY_MANIFEST) in table.broker.reports())
    assert Stopped(other.job, other.dispatch, "killed") in table.broker.reports()


def test_heartbeats_do_not_pile_up_while_the_broker_is_away(lively: Table) -> None:
    until(lambda: lively.broker.said(NodeHeartbeat))
    lively.broker.acks = False
    until(lambda: lively.broker.held)
    came_due: set[float] = set()
    until(lambda: came_due.add(lively.agent._heartbeat_at_s) or len(came_due) > 5, "heartbeats come due")
    before = len(lively.broker.sent)
    order = lively.order()
    lively.take(Kill("node-1", order.session, "main", 1, order.job, order.dispatch))
    lively.broker.settle(Delivery(0, 0, 0))
    until(lambda: lively.broker.held)
    lively.broker.settle(Delivery(0, 0, 0))
    until(lambda: lively.broker.reports())
    assert len(lively.broker.sent) <= before + 2


def test_a_rejoin_begins_a_new_session(table: Table) -> None:
    until(lambda: table.broker.said(NodeJoined))
    old = table.broker.sessions[-1]
    table.take(Rejoin("node-1", old, "main", 1))
    until(lambda: len(table.broker.said(NodeJoined)) == 2)
    assert table.broker.said(NodeJoined)[1].session == table.broker.sessions[-1] != old
    order = table.order()
    table.take(table.order(session=old), order)
    until(lambda: Succeeded(order.job, order.dispatch, EMPTY_MANIFEST) in table.broker.reports())
    assert {report.dispatch for report in table.broker.reports()} == {order.dispatch}


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Table]:
    """A node of two slots."""
    yield from started(Table(tmp_path, heartbeat_ms=20, slots=2))


GANG: dict[str, Any] = {"ranks": (0, 1), "world": 2}


def test_a_join_says_where_rank_0_of_a_gang_is_reached(table: Table) -> None:
    until(lambda: table.broker.said(NodeJoined))
    assert table.broker.said(NodeJoined)[0].address == "node-1.example:10000"


def test_a_gang_of_one_node_meets_there_and_is_one_attempt(pair: Table) -> None:
    order = pair.order(**GANG)
    pair.take(order)
    until(lambda: len(pair.broker.reports()) == 2)
    job, dispatch = order.job, order.dispatch
    assert pair.broker.reports() == [Started(job, dispatch), Succeeded(job, dispatch, EMPTY_MANIFEST)]
    assert pair.agent.child_pids == [0, 0]


def test_a_rank_that_dies_fails_the_attempt_with_one_report(pair: Table) -> None:
    order = pair.waiting(**GANG)
    pair.take(order)
    until(lambda: all(pair.agent.child_pids))
    os.kill(pair.agent.child_pids[1], signal.SIGKILL)
    until(lambda: len(pair.broker.reports()) == 2)
    assert pair.broker.reports()[1] == Failed(order.job, order.dispatch, "child_died", "Signal9")
    assert pair.agent.child_pids == [0, 0]
    after = pair.order()
    pair.take(after)
    until(lambda: Succeeded(after.job, after.dispatch, EMPTY_MANIFEST) in pair.broker.reports())
    assert [report for report in pair.broker.reports() if report.dispatch == order.dispatch][2:] == []


def test_a_gang_whose_first_rank_cannot_be_started_starts_no_other(tmp_path: Path) -> None:
    with running(Table(tmp_path, heartbeat_ms=20, slots=2, python="/nowhere/python")) as table:
        orders = [table.order(**GANG), table.order(**GANG)]
        table.take(*orders)
        until(lambda: len(table.broker.reports()) == 4)
        failed = [report for report in table.broker.reports() if isinstance(report, Failed)]
        assert failed == [Failed(o.job, o.dispatch, "environment", "FileNotFoundError") for o in orders]


def test_a_rank_after_one_that_could_not_be_started_is_not_waited_for(pair: Table) -> None:
    def full(_slot: int) -> None:
        raise OSError(28, "No space left on device")

    pair.agent._slots[0]._scratch = cast(Any, SimpleNamespace(new_home=full, remove=None))
    order = pair.order(**GANG)
    pair.take(order)
    until(lambda: len(pair.broker.reports()) == 2)
    assert pair.broker.reports()[1] == Failed(order.job, order.dispatch, "store", "ScratchFull")
    assert pair.agent.child_pids == [0, 0]


def test_of_a_gang_on_two_nodes_only_that_of_rank_0_speaks_and_the_other_lists_it_until_told(tmp_path: Path) -> None:
    with ExitStack() as stack:
        near, far = (stack.enter_context(running(Table(tmp_path / name, heartbeat_ms=20))) for name in ("near", "far"))
        first = near.order(ranks=(0,), world=2, rendezvous=rendezvous_here())
        second = msgspec.structs.replace(first, session=far.broker.sessions[-1], ranks=(1,))
        far.take(second)
        near.take(first)
        until(lambda: len(near.broker.reports()) == 2)
        assert near.broker.reports()[1] == Succeeded(first.job, first.dispatch, EMPTY_MANIFEST)
        until(lambda: far.agent.child_pids == [0])
        before = len(far.broker.said(NodeHeartbeat))
        until(lambda: len(far.broker.said(NodeHeartbeat)) > before + 3)
        assert {beat.running for beat in far.broker.said(NodeHeartbeat)[before + 1 :]} == {(first.dispatch,)}
        assert far.broker.reports() == []
        far.take(Kill("node-1", second.session, "main", 1, "", first.dispatch))
        until(lambda: far.broker.said(NodeHeartbeat)[-1].running == ())
        assert far.broker.reports() == [Stopped(first.job, first.dispatch, "killed")]


def test_it_leaves_when_all_is_said(table: Table) -> None:
    until(lambda: table.broker.said(NodeJoined))
    table.agent.stop()
    table.thread.join(DEADLINE_S)
    assert table.status == 0
    assert isinstance(table.broker.sent[-1][0], NodeLeft)


def test_it_says_that_reports_were_left_behind(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpu_worker.agent.LAST_WORDS_S", 0.05)
    until(lambda: table.broker.said(NodeHeartbeat))
    table.broker.acks = False
    table.agent.stop()
    table.thread.join(DEADLINE_S)
    assert table.status == 1


def test_progress_is_told_at_most_four_times_a_second_and_never_waited_for(table: Table) -> None:
    told: list[bytes | None] = []

    def send(topic: str, value: bytes | None, **_: Any) -> None:
        told.append(value)
        raise DeliveryUnclear("away")

    producer: Any = SimpleNamespace(send=send)
    voice = Voice(Node("main", "n", 1, "cpu", 0, 0, 0, 1, 5.0), producer, lambda _: None)
    until(lambda: table.broker.said(NodeJoined))
    order = table.order()
    for number in range(20):
        voice.progress(order, number, "m" * 300)
    (value,) = told
    progress = decode_progress(value)
    assert (progress.job, progress.fraction, progress.message) == (order.job, 0.0, "m" * 200)
