"""An agent whose object store or disk is away: what it says of itself, what it starts, and how it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.inputs import Failed, NodeHeartbeat, Started, Succeeded
from runtime.worker.scratch import Scratch
from tests.process.gpu_worker.agent_table import Table, started
from tests.twin.object_store import StoreFaults
from tests.waiting import until


@pytest.fixture
def lively(tmp_path: Path) -> Iterator[Table]:
    """A node that sends a heartbeat every few milliseconds."""
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
