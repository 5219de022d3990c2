"""An agent whose object store or disk is away: what it says of itself, what it starts, and how it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.inputs import Failed, NodeHeartbeat, Started, Stopped, Succeeded
from gpu_worker import held_attempts
from runtime.worker import outages
from runtime.worker.rules.holding import Holding
from runtime.worker.scratch import Scratch
from tests.process.gpu_worker.agent_table import Table, started
from tests.twin.object_store import StoreFaults
from tests.waiting import until


@pytest.fixture
def lively(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    """A node that sends a heartbeat every few milliseconds, and says at once what it waits for."""
    monkeypatch.setattr(outages, "SAID_AFTER_S", 0.0)
    yield from started(Table(tmp_path, heartbeat_ms=5))


def ended(table: Table) -> list[Succeeded | Failed]:
    return [report for report in table.broker.reports() if isinstance(report, Succeeded | Failed)]


def holding(table: Table) -> str | None:
    said = table.broker.said(NodeHeartbeat)
    return said[-1].holding if said else None


@pytest.mark.parametrize("faults", [StoreFaults(away=True), StoreFaults(read_only=True)], ids=["away", "read-only"])
def test_a_result_waits_for_the_store_while_the_slot_works_on_and_the_heartbeat_says_so(
    lively: Table, faults: StoreFaults
) -> None:
    lively.store.state.faults = faults
    storing = lively.asking(b'{"how": "number"}')
    lively.take(storing)
    until(lambda: holding(lively) == "store")
    following = lively.order()
    lively.take(following)
    until(lambda: Started(following.job, following.dispatch) in lively.broker.reports())
    assert lively.broker.said(NodeHeartbeat)[-1].running[:1] == (storing.dispatch,)
    lively.store.mend()
    until(lambda: storing.dispatch in {report.dispatch for report in ended(lively)})
    assert all(isinstance(report, Succeeded) for report in ended(lively))
    until(lambda: holding(lively) == "")


def test_what_waits_for_the_store_is_counted_and_holds_the_slot(lively: Table) -> None:
    lively.agent._held_attempts._rules.holding = Holding(value_bytes_max=1)
    lively.store.state.faults = StoreFaults(away=True)
    storing, following = lively.asking(b'{"how": "number"}'), lively.order()
    lively.take(storing)
    until(lambda: holding(lively) == "bytes")
    lively.take(following)
    until(lambda: lively.broker.said(NodeHeartbeat)[-1].staged == (following.dispatch,))
    assert lively.broker.reports() == [Started(storing.job, storing.dispatch)]
    lively.store.mend()
    until(lambda: following.dispatch in {report.dispatch for report in ended(lively)})
    assert all(isinstance(report, Succeeded) for report in ended(lively))


@pytest.mark.parametrize(
    ("written", "free", "is_ours"),
    [(10, 0, True), (100_000, 0, False), (10, 2**40, False)],
    ids=["others filled the disk", "the attempt filled it", "it is not full"],
)
def test_a_disk_that_others_filled_is_no_failure_of_an_attempt(
    lively: Table, monkeypatch: pytest.MonkeyPatch, written: int, free: int, *, is_ours: bool
) -> None:
    monkeypatch.setattr(held_attempts, "DISK_RESERVE_BYTES", 64 * 1024)
    monkeypatch.setattr(Scratch, "free_bytes", lambda scratch: free if lively.broker.reports() else 2**40)
    until(lambda: lively.broker.said(NodeHeartbeat))
    order = lively.asking(b'{"how": "full", "bytes": %d}' % written)
    lively.take(order)
    report = until(lambda: next((one for one in lively.broker.reports() if not isinstance(one, Started)), None))
    if is_ours:
        assert report == Stopped(order.job, order.dispatch, "unclaimed")
        until(lambda: holding(lively) == "disk")
    else:
        assert report == Failed(order.job, order.dispatch, "store", "ScratchFull")


def test_nothing_starts_on_a_full_disk_until_there_is_room(lively: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as full:
        full.setattr(Scratch, "free_bytes", lambda scratch: 0)
        until(lambda: holding(lively) == "disk")
        order = lively.order()
        lively.take(order)
        until(lambda: lively.broker.said(NodeHeartbeat)[-1].staged == (order.dispatch,))
        assert lively.broker.reports() == []
    until(lambda: Started(order.job, order.dispatch) in lively.broker.reports())
    until(lambda: holding(lively) == "")
