"""The agent between a broker made of lists and real children: what it says, when, and what waits for what."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from structlog.testing import capture_logs

from contract.codec import decode_progress
from contract.inputs import Failed, NodeHeartbeat, NodeJoined, NodeLeft, Started, Stopped, Succeeded, cached_digest
from contract.orders import Kill, Refuse, Rejoin, Tell
from contract.results import EMPTY_MANIFEST
from contract.signing import RecordSigner
from gpu_worker.child.work import rendezvous_here
from gpu_worker.io.checker import BAD_VALUES, OutputFault
from gpu_worker.io.checker_process import Checkers
from runtime.kafka import Delivery, DeliveryUnclear
from runtime.worker import node_agent
from runtime.worker.canary_flight import probe
from runtime.worker.confinement import confinement, forms
from runtime.worker.node import NOT_CONFINED, REFUSED, NodeIdentity
from runtime.worker.report_sender import ReportSender
from tests.process.gpu_worker.agent_table import DEADLINE_S, IDENTITY, Table, running, started
from tests.waiting import until


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    yield from started(Table(tmp_path, heartbeat_ms=60_000))


@pytest.fixture
def lively(tmp_path: Path) -> Iterator[Table]:
    """A node that sends a heartbeat every few milliseconds."""
    yield from started(Table(tmp_path, heartbeat_ms=5))


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


def test_its_children_are_held_off_and_their_outputs_arrive(tmp_path: Path) -> None:
    facts = probe()
    root = tmp_path / "root"
    root.mkdir()
    held = confinement(forms(facts)[0], facts, root, [tmp_path], {})
    with running(Table(tmp_path, heartbeat_ms=60_000, confinement=held)) as table:
        order = table.asking(b'{"how": "film"}')
        report = table.ended(order)
        assert isinstance(report, Succeeded), table.store.error_of(order)
        assert report.bytes == 100
        status = Path(f"/proc/{table.agent.child_pids[0]}/status").read_text()
        assert "NoNewPrivs:\t1\n" in status
        assert f"Uid:\t{held.uid(0) or os.getuid()}\t" in status


def test_ranks_of_a_gang_here_meet_behind_their_layers(tmp_path: Path) -> None:
    facts = probe()
    root = tmp_path / "root"
    root.mkdir()
    held = confinement(forms(facts)[0], facts, root, [tmp_path], {})
    with running(Table(tmp_path, heartbeat_ms=60_000, slots=2, confinement=held)) as table:
        order = table.order(**GANG)
        report = table.ended(order)
        assert isinstance(report, Succeeded), table.store.error_of(order)
        until(lambda: table.agent.child_pids == [0, 0])


def test_a_success_says_how_much_it_left_and_how_long_it_waited_for_its_version(table: Table) -> None:
    cold, warm = (table.asking(b'{"how": "film"}') for _ in range(2))
    for order in (cold, warm):
        report = table.ended(order)
        assert isinstance(report, Succeeded)
        assert report.bytes == 100
    loads_ms = table.broker.loads_ms()
    assert loads_ms[cold.dispatch] > 0
    assert loads_ms[warm.dispatch] == 0


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
    came_due: set[float | None] = set()

    def came_due_often() -> bool:
        came_due.add(lively.agent._heartbeat.due_at_s)
        return len(came_due) > 5

    until(came_due_often, "heartbeats come due")
    before = len(lively.broker.sent)
    order = lively.order()
    lively.take(Kill("node-1", order.session, "main", 1, order.job, order.dispatch))
    lively.broker.settle(Delivery(0, 0, 0))
    until(lambda: lively.broker.held)
    lively.broker.settle(Delivery(0, 0, 0))
    until(lambda: lively.broker.reports())
    assert len(lively.broker.sent) <= before + 2


def test_a_check_of_values_takes_as_long_as_it_takes_and_the_heart_beats(
    lively: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    let, asked = threading.Event(), threading.Event()

    def fault(*_: Any) -> OutputFault | None:
        asked.set()
        return None if let.wait(DEADLINE_S) else OutputFault(BAD_VALUES, "expected to be let")

    monkeypatch.setattr(Checkers, "fault", fault)
    order = lively.order()
    lively.take(order)
    assert asked.wait(DEADLINE_S)
    before = len(lively.broker.said(NodeHeartbeat))
    until(lambda: len(lively.broker.said(NodeHeartbeat)) > before + 3, "heartbeats meanwhile")
    let.set()
    until(lambda: Succeeded(order.job, order.dispatch, EMPTY_MANIFEST) in lively.broker.reports())


def test_its_loop_turns_at_least_once_a_heartbeat_whatever_is_due(tmp_path: Path) -> None:
    """Otherwise the watchdog would take the node for a node that hangs."""
    table = Table(tmp_path, heartbeat_ms=5)
    table.broker.positions = False
    with running(table):
        until(lambda: table.agent.turns > 10)


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
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    pair.agent._attempts._slots[0]._scratch = cast(Any, SimpleNamespace(new_home=full))
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


def test_what_it_has_on_disk_is_listed_when_the_scheduler_asks(tmp_path: Path) -> None:
    with running(Table(tmp_path, heartbeat_ms=60_000, cached=("sha256:" + "a" * 64,))) as table:
        until(lambda: table.broker.said(NodeHeartbeat))
        (joined,), (beat,) = table.broker.said(NodeJoined), table.broker.said(NodeHeartbeat)
        assert (joined.identity, joined.cached) == (IDENTITY, ("sha256:" + "a" * 64,))
        assert (beat.cached, beat.cached_digest) == ((), cached_digest(joined.cached))
        table.take(Tell("node-1", joined.session, "main", 1))
        until(lambda: len(table.broker.said(NodeHeartbeat)) == 2)
        assert table.broker.said(NodeHeartbeat)[1].cached == joined.cached


def test_a_node_whose_cluster_no_policy_has_waits_outside_and_asks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its supervisor would start it for ever, or give it up before the policy is applied."""
    monkeypatch.setattr(node_agent, "OUT_S", 0.05)
    with running(Table(tmp_path, heartbeat_ms=60_000)) as table:
        until(lambda: table.broker.said(NodeHeartbeat))
        first = table.broker.sessions[-1]
        with capture_logs() as lines:
            table.take(Refuse("node-1", first, "main", 1, "unknown_cluster"), Rejoin("node-1", first, "main", 1))
            until(lambda: len(table.broker.said(NodeJoined)) == 2)
        (line,) = [line for line in lines if line["log_level"] == "error"]
        assert line["event"].startswith("this node stays out: expected its cluster in the pool that it writes to")
        assert len(table.broker.sessions) == 2, "the Rejoin behind the Refuse began no session of its own"
        order = table.order()
        assert table.ended(order) == Succeeded(order.job, order.dispatch, EMPTY_MANIFEST)
        monkeypatch.setattr(node_agent, "OUT_S", 3600.0)
        table.take(Refuse("node-1", table.broker.sessions[-1], "main", 1, "unknown_cluster"))
        table.turn()
        assert table.status is None, "it waits"
        before = len(table.broker.sent)
    assert table.status == 0, "SIGTERM ends it meanwhile"
    assert len(table.broker.sent) == before, "it has no session to leave"


def test_a_node_whose_name_is_taken_stays_out(table: Table) -> None:
    """Two machines of one name replaced each other 68 times in three minutes, and 20 jobs were dead-lettered (C6)."""
    until(lambda: table.broker.said(NodeHeartbeat))
    table.take(table.waiting())
    until(lambda: all(table.agent.child_pids))
    before = len(table.broker.sent)
    with capture_logs() as lines:
        table.take(Refuse("node-1", table.broker.sessions[-1], "main", 1, "name_taken"))
        table.thread.join(DEADLINE_S)
    assert table.status == REFUSED
    assert table.broker.said(NodeLeft) == []
    assert len(table.broker.sent) == before
    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert line["event"].startswith("this node stays out: expected its name to be its own, found that another machine")
    assert table.agent.child_pids == [0]


def test_a_node_that_models_could_reach_ends_where_the_policy_does_not_trust_them(tmp_path: Path) -> None:
    with running(Table(tmp_path, heartbeat_ms=20)) as table, capture_logs() as lines:
        until(lambda: table.broker.said(NodeHeartbeat))
        table.take(Refuse("node-1", table.broker.sessions[-1], "main", 1, "not_confined"))
        table.thread.join(DEADLINE_S)
        assert table.status == NOT_CONFINED
    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert line["exit_status"] == NOT_CONFINED


def test_it_leaves_when_all_is_said(table: Table) -> None:
    until(lambda: table.broker.said(NodeJoined))
    table.agent.stop()
    table.thread.join(DEADLINE_S)
    assert table.status == 0
    assert isinstance(table.broker.sent[-1][0], NodeLeft)


def test_it_says_that_reports_were_left_behind(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.worker.departure.LAST_WORDS_S", 0.05)
    until(lambda: table.broker.said(NodeHeartbeat))
    table.broker.acks = False
    table.agent.stop()
    table.thread.join(DEADLINE_S)
    assert table.status == 1


def test_progress_is_told_at_most_four_times_a_second_and_never_waited_for(table: Table) -> None:
    told: list[bytes | None] = []

    def offer(topic: str, value: bytes | None, **_: Any) -> None:
        told.append(value)
        raise DeliveryUnclear("away")

    producer: Any = SimpleNamespace(offer=offer)
    node = NodeIdentity("main", "n", 1, "cpu", 0, 0, 0, 1, 5.0)
    sender = ReportSender(node, producer, RecordSigner(None), lambda _: None)
    until(lambda: table.broker.said(NodeJoined))
    order = table.order()
    for number in range(20):
        sender.progress(order.job, order.dispatch, number, "m" * 300)
    (value,) = told
    progress = decode_progress(value)
    assert (progress.job, progress.fraction, progress.message) == (order.job, 0.0, "m" * 200)
