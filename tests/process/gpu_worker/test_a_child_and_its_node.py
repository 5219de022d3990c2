"""Whatever frames a child writes in the middle of an attempt: the attempt ends in one report, the node goes on sending
heartbeats, and the attempt in the other slot is not touched."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.inputs import FAILURE_KINDS, Failed, NodeHeartbeat, Started, Stopped, Succeeded
from contract.orders import Kill
from tests.process.gpu_worker.agent_table import Table, running
from tests.properties.gpu_worker.frames import whole_frames
from tests.waiting import until


def test_a_child_that_writes_any_frames_harms_its_own_attempt_only(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    with running(Table(tmp_path, heartbeat_ms=5, slots=2)) as table:
        other = table.waiting()
        table.take(other)
        until(lambda: all(pid > 0 for pid in table.agent.child_pids[:1]))

        @settings(max_examples=30, derandomize=True, deadline=None)
        @given(st.data())
        def an_attempt(data: st.DataObject) -> None:
            raw = data.draw(whole_frames(f"1.{table.number + 1}.0", most=2))
            run = table.asking(b'{"how": "raw", "raw": "%s"}' % raw.hex().encode())
            report = table.ended(run)
            seen[type(report).__name__] += 1
            assert isinstance(report, Succeeded | Failed)
            assert isinstance(report, Succeeded) or report.kind in FAILURE_KINDS
            before = len(table.broker.said(NodeHeartbeat))
            until(lambda: len(table.broker.said(NodeHeartbeat)) > before)
            assert other.dispatch in table.broker.said(NodeHeartbeat)[-1].running

        an_attempt()
        table.take(Kill("node-1", other.session, "main", 1, other.job, other.dispatch))
        until(lambda: Stopped(other.job, other.dispatch, "killed") in table.broker.reports())
        reports = table.broker.reports()
        starts = [report.dispatch for report in reports if isinstance(report, Started)]
        ends = [report.dispatch for report in reports if not isinstance(report, Started)]
        assert sorted(starts) == sorted(ends)
        assert len(set(ends)) == len(ends)
    assert 3 * seen["Succeeded"] >= seen.total() >= 30, seen
    assert seen["Failed"] >= 3, seen
