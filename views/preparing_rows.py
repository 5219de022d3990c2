"""What events about the preparation of a job's media change in the job's row: pure. Part of views.job_draft."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contract import events as e
from contract.bounds import mended
from contract.lifecycle import IllegalTransition
from views.rows import JobRow

OVER = (e.PreparationClosed, e.InputsPrepared, e.InputsRefused)
"""After these no preparation is open."""


def ordered(row: JobRow, event: e.PreparationOrdered, now_ms: int) -> None:
    if row.prepare_cluster:
        raise IllegalTransition("PreparationOrdered while another preparation is open")
    go_to_worker(row, event)


def closed(row: JobRow, event: e.PreparationClosed, now_ms: int) -> None:
    _refuse_other(row, event)
    leave_worker(row)


def prepared(row: JobRow, event: e.InputsPrepared, now_ms: int) -> None:
    _refuse_other(row, event)
    leave_worker(row)
    row.prepared_ms = now_ms
    if event.start_p90_ms:
        row.start_p50_ms, row.start_p90_ms = event.start_p50_ms, event.start_p90_ms


def refused(row: JobRow, event: e.InputsRefused, now_ms: int) -> None:
    """No preparation is named when the scheduler says so itself (worker_lost): then nobody left a sentence."""
    if event.preparation:
        _refuse_other(row, event)
    row.preparation, row.reason = event.preparation, event.kind


def dropped(row: JobRow, event: e.InputsDropped, now_ms: int) -> None:
    row.prepared_ms = None


def go_to_worker(row: JobRow, event: e.PreparationOrdered) -> None:
    row.preparation = mended(event.preparation)
    row.prepare_node, row.prepare_cluster = mended(event.node), mended(event.cluster)


def leave_worker(row: JobRow) -> None:
    row.prepare_node = row.prepare_cluster = ""


def _refuse_other(row: JobRow, event: Any) -> None:
    """Only the open preparation may end."""
    if not row.prepare_cluster or row.preparation != event.preparation:
        found = "another one open" if row.prepare_cluster else "no open preparation"
        raise IllegalTransition(f"{type(event).__name__} of a preparation; expected the open one, found {found}")


CHANGES: dict[type, Callable[[JobRow, Any, int], None]] = {
    e.PreparationOrdered: ordered,
    e.PreparationClosed: closed,
    e.InputsPrepared: prepared,
    e.InputsRefused: refused,
    e.InputsDropped: dropped,
}
