"""What a node says fits a record, however much the node holds; what the broker refuses is made smaller (case C27,
review 5.19)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from contract.bounds import CACHED_BYTES_MAX, HELD_MAX, SLOTS_MAX
from contract.codec import decode_input, encode
from contract.inputs import NodeHeartbeat, NodeJoined, Started, Stopped, Succeeded
from contract.names import dispatch_id
from contract.orders import Kill
from contract.results import EMPTY_MANIFEST
from gpu_worker.__main__ import main
from gpu_worker.rules.actions import FetchSupplies
from gpu_worker.rules.cached_versions import CachedVersions
from gpu_worker.rules.node_rules import NodeRules
from runtime.kafka import Delivery, DeliveryUnclear
from tests.process.gpu_worker.agent_table import Table, running
from tests.unit.gpu_worker.rules_orders import NODE, SESSION, run
from tests.waiting import until

VERSIONS = tuple(f"sha256:{number:064x}" for number in range(950))


def test_the_versions_used_last_are_listed_as_many_as_fit() -> None:
    cached = CachedVersions(VERSIONS)
    assert cached.listed == tuple(sorted(cached.listed))
    assert set(cached.listed) == set(VERSIONS[: len(cached.listed)])
    size = len(encode(NodeJoined("", "", "", "", 1, 0, 0, cached.listed)))
    size -= len(encode(NodeJoined("", "", "", "", 1, 0, 0)))
    assert CACHED_BYTES_MAX - 100 < size <= CACHED_BYTES_MAX
    last, first = VERSIONS[-1], VERSIONS[len(cached.listed) - 1]
    cached.use(last)
    assert last in cached.listed
    assert first not in cached.listed


def test_a_use_that_changes_no_place_changes_no_list() -> None:
    cached = CachedVersions(VERSIONS[:3])
    before = cached.listed
    cached.use(VERSIONS[2])
    cached.add(VERSIONS[:3])
    assert cached.listed == before == VERSIONS[:3]
    cached.add(VERSIONS[:4])
    assert cached.listed == VERSIONS[:4]


def test_the_fullest_heartbeat_and_join_fit_a_record() -> None:
    rules = NodeRules("n" * 63, "s" * 32, SLOTS_MAX)
    assert rules.held_max == HELD_MAX
    most = 2**53 - 1
    for number in range(HELD_MAX + 20):
        name = {"node": rules.node, "session": rules.session}
        rules.take(run(dispatch_id(most, most, most - number), f"{'p' * 63}-{number:032x}", **name))
    for slot in range(SLOTS_MAX):
        rules.loaded(slot, VERSIONS[slot])
    rules.cached = CachedVersions(VERSIONS).listed
    heartbeat = rules.heartbeat()
    assert len(heartbeat.staged) == HELD_MAX
    assert len(encode(heartbeat)) < 64 * 1024
    assert decode_input(encode(heartbeat)) == heartbeat


@pytest.mark.parametrize(("slots", "held"), [(1, 20), (10, 56), (60, 256), (64, 256)])
def test_a_node_holds_what_it_says_it_holds(slots: int, held: int) -> None:
    rules = NodeRules(NODE, SESSION, slots)
    taken = [rules.take(run(f"1.{n}.0", f"main-{n:032d}")) for n in range(held + 5)]
    assert rules.held_max == held == sum(FetchSupplies in map(type, actions) for actions in taken)


def test_a_join_says_how_many_attempts_the_node_holds(tmp_path: Path) -> None:
    with running(Table(tmp_path, heartbeat_ms=60_000, slots=2)) as table:
        until(lambda: table.broker.said(NodeJoined))
        assert table.broker.said(NodeJoined)[0].holds == 24


def test_more_slots_than_a_node_may_have_are_refused_at_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--cluster", "main", "--node", "n", "--slots", "65"])
    assert ended.value.code == 2
    assert "expected at most 64 slots, found 65; start several nodes" in capsys.readouterr().err


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as captured:
        yield captured


def test_a_node_of_many_versions_is_heard_under_the_smallest_topic(tmp_path: Path, lines: list[Any]) -> None:
    """With 950 versions the list is cut. When even the cut list is refused, it is left out, and the log says so
    once."""
    table = Table(tmp_path, heartbeat_ms=60_000, cached=VERSIONS)
    table.broker.record_bytes_max = 4_000
    with running(table):
        until(lambda: table.broker.said(NodeHeartbeat))
        order = table.order()
        assert table.ended(order) == Succeeded(order.job, order.dispatch, EMPTY_MANIFEST)
        (joined,) = table.broker.said(NodeJoined)
        assert joined.cached == ()
        (refused,) = table.broker.refused
        assert len(refused) < CACHED_BYTES_MAX + 1_000
    (line,) = [line for line in lines if line["log_level"] == "warning"]
    assert (line["topic"], line["found"], line["bytes"]) == ("jobs", "jobs: MSG_SIZE_TOO_LARGE", len(refused))


def test_a_node_whose_every_word_is_refused_goes_on_and_says_so_once(tmp_path: Path, lines: list[Any]) -> None:
    table = Table(tmp_path, heartbeat_ms=5)
    with running(table):
        until(lambda: table.broker.said(NodeHeartbeat))
        table.broker.record_bytes_max = 10
        order = table.order()
        table.take(order)
        refused = len(table.broker.refused)
        until(lambda: len(table.broker.refused) > refused + 10)
        assert table.agent.child_pids == [0], "an attempt whose Started is lost does not run"
        table.broker.record_bytes_max = 2**20
        after = table.order()
        assert table.ended(after) == Succeeded(after.job, after.dispatch, EMPTY_MANIFEST)
        reports = [raw for raw in table.broker.refused if b"NodeReport" in raw]
        assert len(set(reports)) == len(reports) >= 1
        assert Started(order.job, order.dispatch) not in table.broker.reports()
    assert len([line for line in lines if line["log_level"] == "error"]) == 1


def test_an_outage_is_told_once_for_each_reason_and_its_end(tmp_path: Path, lines: list[Any]) -> None:
    with running(Table(tmp_path, heartbeat_ms=60_000)) as table:
        until(lambda: table.broker.said(NodeHeartbeat))
        table.broker.acks = False
        order = table.order()
        table.take(Kill("node-1", order.session, "main", 1, order.job, order.dispatch))
        for reason in ("_MSG_TIMED_OUT", "TOPIC_AUTHORIZATION_FAILED", "_MSG_TIMED_OUT"):
            until(lambda: table.broker.held)
            table.broker.settle(DeliveryUnclear(f"jobs: {reason}"))
        until(lambda: table.broker.held)
        table.broker.acks = True
        table.broker.settle(Delivery(0, 0, 0))
        until(lambda: [line for line in lines if line["event"] == "heard again"])
        assert Stopped(order.job, order.dispatch, "killed") in table.broker.reports()
    line, other = [line for line in lines if line["log_level"] == "warning"]
    assert (line["topic"], line["partition"], line["found"]) == ("jobs", 0, "jobs: _MSG_TIMED_OUT")
    assert other["event"].endswith("Let this node's user write to the topic (the broker's ACLs)")
