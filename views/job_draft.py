"""What an event of a job changes in the draft of the job (its row, its open attempt, the copies of its words): pure.

`apply_event` takes the events that the lifecycle table allows, and raises for any other. `apply_to_unreadable` takes
the events of a job that was set aside, and raises nothing. It passes over what the events say of the job, and keeps
what others depend on: where its attempts are (nodes and clusters count them), where its words lie, that its words are
to be erased, and that the job has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from contract import events as e
from contract.bounds import mended
from contract.inputs import Submission
from contract.lifecycle import ENDINGS, TERMINAL, IllegalTransition, JobState, after
from views import preparing_rows, rows
from views.columns import fitted, nearest_number

_STATES = {state.value: state for state in JobState}
LIFE_BEGINS = (e.JobAccepted, e.JobPreparing, e.JobRefused)
WORDS_GO = (e.ErasureOrdered, e.JobErased)


class FoldedRecord(msgspec.Struct):
    """What the draft needs to know of the ledger record that is being folded."""

    pool: str
    now_ms: int
    submissions: Mapping[int, Submission]
    """The submissions among its inputs, by offset."""


class JobDraft(msgspec.Struct):
    """The rows of a job while one event is applied to them. The rows are stored afterwards, or dropped."""

    row: rows.JobRow | None
    attempt: rows.AttemptRow | None
    """The open attempt. An attempt that this event closes is still here."""
    copies: list[rows.JobCopyRow] = []
    erases: bool = False
    """The words of the job may leave no trace, not even a fingerprint."""
    begins: bool = False
    """The job begins a new life: the rows of the life before are deleted."""


def apply_event(draft: JobDraft, event: Any, record: FoldedRecord) -> None:
    """Applies an event of a job that can be shown. IllegalTransition when the event may not happen to the job."""
    row = draft.row
    if row is not None and isinstance(event, LIFE_BEGINS) and begins_anew(row):
        # the scheduler had forgotten the id (design, Once is once): another life, with nothing of the life before
        row = draft.row = draft.attempt = None
        draft.begins = True
    state = after(JobState.SUBMITTED if row is None else _STATES[row.state], type(event).__name__)
    handler, change = _EVENTS.get(type(event)), preparing_rows.CHANGES.get(type(event))
    if handler is not None:
        handler(draft, event, record)
    elif change is not None:
        change(_row(draft), event, record.now_ms)
    if draft.row is not None:
        draft.row.state = state.value
        if state in TERMINAL:
            preparing_rows.leave_worker(draft.row)
            if draft.row.ended_ms is None:
                draft.row.ended_ms = record.now_ms


def apply_to_unreadable(draft: JobDraft, event: Any, record: FoldedRecord) -> None:
    """Applies an event of a job whose row says `unreadable`."""
    row, kind = draft.row, type(event)
    if row is not None and kind.__name__ in ENDINGS:
        row.ended_ms = record.now_ms
        preparing_rows.leave_worker(row)
    if row is not None and isinstance(event, e.JobRepinned):
        row.version = mended(event.version)  # an attempt that starts says what its node has loaded
    if row is not None and isinstance(event, e.PreparationOrdered):
        preparing_rows.go_to_worker(row, event)
    elif row is not None and isinstance(event, preparing_rows.OVER) and event.preparation == row.preparation:
        preparing_rows.leave_worker(row)
    if isinstance(event, WORDS_GO):
        _EVENTS[kind](draft, event, record)
    elif isinstance(event, (*LIFE_BEGINS, e.JobDuplicated)):
        _copy(draft, event, record)
    elif isinstance(event, e.JobDispatched):
        draft.attempt = fitted(attempt_of(event, record))
        if row is not None:
            row.attempts = draft.attempt.attempt
    elif (
        draft.attempt is not None and draft.attempt.is_open and getattr(event, "dispatch", "") == draft.attempt.dispatch
    ):
        if isinstance(event, e.AttemptStarted):
            draft.attempt.state, draft.attempt.started_ms = "running", record.now_ms
        elif kind in _CLOSED:
            draft.attempt.state, draft.attempt.ended_ms = _CLOSED[kind], record.now_ms


def begins_anew(row: rows.JobRow) -> bool:
    """Whether the views are done with the job of this row: a submission under its id is another life."""
    return row.state == rows.UNREADABLE or _STATES[row.state] in TERMINAL


def attempt_of(event: e.JobDispatched, record: FoldedRecord) -> rows.AttemptRow:
    """The attempt that a dispatch opens. Evidence that comes from the pool is fitted to its columns."""
    others = dict.fromkeys(member.node for member in event.members if member.node != event.node)
    return rows.AttemptRow(
        event.job,
        event.attempt,
        record.pool,
        event.dispatch,
        event.node,
        event.session,
        event.cluster,
        "staged",
        record.now_ms,
        None,
        None,
        event.waited_ms,
        nearest_number(event.slo_ms),
        event.next_job,
        nearest_number(event.next_waited_ms),
        nearest_number(event.next_slo_ms),
        nearest_number(event.limit, "integer"),
        nearest_number(event.staged, "integer"),
        event.bound,
        others=tuple(others),
    )


def copy_of(job: str, offset: int, key: str, record: FoldedRecord) -> rows.JobCopyRow:
    """A copy of the job's words lies at this offset of `jobs`."""
    return rows.JobCopyRow(job, offset, record.pool, key)


_Copied = e.JobAccepted | e.JobPreparing | e.JobRefused | e.JobDuplicated


def _copy(draft: JobDraft, event: _Copied, record: FoldedRecord) -> None:
    draft.copies.append(copy_of(event.job, event.offset, event.key, record))


def _new_row(draft: JobDraft, event: e.JobAccepted | e.JobPreparing, record: FoldedRecord) -> rows.JobRow:
    _copy(draft, event, record)
    row = draft.row = rows.JobRow(
        event.job,
        record.pool,
        event.tenant,
        event.tier,
        event.model,
        event.version,
        JobState.SUBMITTED.value,
        event.submitted_ms,
        event.expires_ms,
        record.now_ms,
    )
    return row


def _accepted(draft: JobDraft, event: e.JobAccepted, record: FoldedRecord) -> None:
    row = _new_row(draft, event, record)
    if event.start_p90_ms:
        row.start_p50_ms, row.start_p90_ms = event.start_p50_ms, event.start_p90_ms


def _preparing(draft: JobDraft, event: e.JobPreparing, record: FoldedRecord) -> None:
    _new_row(draft, event, record).media = nearest_number(event.media, "integer")


def _repinned(draft: JobDraft, event: e.JobRepinned, record: FoldedRecord) -> None:
    _row(draft).version = event.version


def _refused(draft: JobDraft, event: e.JobRefused, record: FoldedRecord) -> None:
    """The event names neither tier nor model. Both come from the row that the api wrote, or from the input."""
    _copy(draft, event, record)
    if draft.row is None:
        asked = record.submissions.get(event.offset)
        draft.row = rows.JobRow(
            event.job,
            record.pool,
            event.tenant,
            asked.tier if asked else "",
            asked.model if asked else "",
            "",
            JobState.SUBMITTED.value,
            (asked.submitted_ms if asked else 0) or record.now_ms,
            asked.expires_ms if asked else 0,
        )
    draft.row.reason = event.reason


def _forecast(draft: JobDraft, event: e.StartForecast, record: FoldedRecord) -> None:
    row = _row(draft)
    row.start_p50_ms, row.start_p90_ms = event.p50_ms, event.p90_ms


def _dispatched(draft: JobDraft, event: e.JobDispatched, record: FoldedRecord) -> None:
    row = _row(draft)
    row.attempts = event.attempt
    row.dispatched_ms, row.started_ms = record.now_ms, None
    draft.attempt = attempt_of(event, record)


def _started(draft: JobDraft, event: e.AttemptStarted, record: FoldedRecord) -> None:
    attempt = _open(draft, event)
    attempt.state = "running"
    attempt.started_ms = _row(draft).started_ms = record.now_ms


def _failed(draft: JobDraft, event: e.AttemptFailed, record: FoldedRecord) -> None:
    attempt = _close(draft, event, record)
    attempt.failure, attempt.error, attempt.counts = event.kind, event.error, event.counts
    row = _row(draft)
    row.failure = event.kind
    row.failures += event.counts


def _closed(draft: JobDraft, event: e.AttemptClosed, record: FoldedRecord) -> None:
    attempt = _close(draft, event, record)
    attempt.closed, attempt.counts = event.reason, event.counts
    _row(draft).failures += event.counts


def _succeeded(draft: JobDraft, event: e.JobSucceeded, record: FoldedRecord) -> None:
    attempt = _close(draft, event, record)
    attempt.bytes, attempt.load_ms = nearest_number(event.bytes), nearest_number(event.load_ms)
    row = _row(draft)
    row.result_dispatch, row.result_manifest = event.dispatch, event.manifest


def _reason(draft: JobDraft, event: e.JobCancelling | e.JobCancelled, record: FoldedRecord) -> None:
    _row(draft).reason = event.reason


def _expired(draft: JobDraft, event: e.JobExpired, record: FoldedRecord) -> None:
    _row(draft).reason = "expired"


def _dead_lettered(draft: JobDraft, event: e.JobDeadLettered, record: FoldedRecord) -> None:
    row = _row(draft)
    row.failures = event.failures
    row.reason = row.failure or "lost"


def _quarantined(draft: JobDraft, event: e.JobQuarantined, record: FoldedRecord) -> None:
    _row(draft).reason = "nodes_lost"


def _erasure_ordered(draft: JobDraft, event: e.ErasureOrdered, record: FoldedRecord) -> None:
    draft.erases = True
    if draft.row is not None:
        draft.row.erasure = "ordered"


def _erased(draft: JobDraft, event: e.JobErased, record: FoldedRecord) -> None:
    draft.erases = True
    if draft.row is not None:
        draft.row.erasure, draft.row.gone_by_ms = "erased", nearest_number(event.gone_by_ms)


def _row(draft: JobDraft) -> rows.JobRow:
    assert draft.row is not None, "the lifecycle table lets no such event happen to a job without a row"
    return draft.row


def _open(draft: JobDraft, event: Any) -> rows.AttemptRow:
    attempt = draft.attempt
    if attempt is None or attempt.dispatch != event.dispatch:
        found = "no open attempt" if attempt is None else "another one open"
        raise IllegalTransition(f"{type(event).__name__} of an attempt; expected the open one, found {found}")
    return attempt


def _close(draft: JobDraft, event: Any, record: FoldedRecord) -> rows.AttemptRow:
    attempt = _open(draft, event)
    attempt.state, attempt.ended_ms = _CLOSED[type(event)], record.now_ms
    return attempt


_CLOSED: dict[type, str] = {e.AttemptFailed: "failed", e.AttemptClosed: "closed", e.JobSucceeded: "succeeded"}
_EVENTS: dict[type, Callable[[JobDraft, Any, FoldedRecord], None]] = {
    e.JobAccepted: _accepted,
    e.JobPreparing: _preparing,
    e.JobRepinned: _repinned,
    e.StartForecast: _forecast,
    e.JobRefused: _refused,
    e.JobDuplicated: _copy,
    e.JobDispatched: _dispatched,
    e.AttemptStarted: _started,
    e.AttemptFailed: _failed,
    e.AttemptClosed: _closed,
    e.JobSucceeded: _succeeded,
    e.JobCancelling: _reason,
    e.JobCancelled: _reason,
    e.JobExpired: _expired,
    e.JobDeadLettered: _dead_lettered,
    e.JobQuarantined: _quarantined,
    e.ErasureOrdered: _erasure_ordered,
    e.JobErased: _erased,
}
