"""What an event of a job changes on the job's page (its row, its open attempt, the copies of its words): pure.

`turn` takes the events that the lifecycle table allows and raises for any other. `turn_unread` takes the events of a
job that was set aside: it passes over what they say of the job, raises nothing, and keeps what others depend on: where
its attempts are (nodes and clusters count them), where its words lie and that they are to go, and that it has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from contract import events as e
from contract.inputs import Submission
from contract.lifecycle import ENDINGS, TERMINAL, IllegalTransition, JobState, after
from views import rows
from views.columns import fitted, number

_STATES = {state.value: state for state in JobState}
LIFE_BEGINS = (e.JobAccepted, e.JobRefused)
WORDS_GO = (e.ErasureOrdered, e.JobErased)


class Moment(msgspec.Struct):
    """The record that is being folded."""

    pool: str
    now_ms: int
    submissions: Mapping[int, Submission]
    """Those it read, by offset."""


class Page(msgspec.Struct):
    """A job while one event is folded."""

    row: rows.JobRow | None
    attempt: rows.AttemptRow | None
    """The open one; closed by this event, it is here still."""
    copies: list[rows.JobCopyRow] = []
    erases: bool = False
    """No trace of the job's words may stay, not even a fingerprint."""
    begins: bool = False
    """A new life: what there was of the one before goes."""


def turn(page: Page, event: Any, moment: Moment) -> None:
    """An event of a job that can be read. IllegalTransition when it may not happen to it."""
    row = page.row
    if row is not None and isinstance(event, LIFE_BEGINS) and begins_anew(row):
        # the scheduler had forgotten the id (design, Once is once): the same id, and nothing else of the job there was
        row = page.row = page.attempt = None
        page.begins = True
    state = after(JobState.SUBMITTED if row is None else _STATES[row.state], type(event).__name__)
    handler = _EVENTS.get(type(event))
    if handler is not None:
        handler(page, event, moment)
    if page.row is not None:
        page.row.state = state.value
        if state in TERMINAL and page.row.ended_ms is None:
            page.row.ended_ms = moment.now_ms


def turn_unread(page: Page, event: Any, moment: Moment) -> None:
    """An event of a job whose row says `unreadable`."""
    row, kind = page.row, type(event)
    if row is not None and kind.__name__ in ENDINGS:
        row.ended_ms = moment.now_ms
    if isinstance(event, WORDS_GO):
        _EVENTS[kind](page, event, moment)
    elif isinstance(event, (*LIFE_BEGINS, e.JobDuplicated)):
        _copy(page, event, moment)
    elif isinstance(event, e.JobDispatched):
        page.attempt = fitted(attempt_of(event, moment))
        if row is not None:
            row.attempts = page.attempt.attempt
    elif page.attempt is not None and page.attempt.is_open and getattr(event, "dispatch", "") == page.attempt.dispatch:
        if isinstance(event, e.AttemptStarted):
            page.attempt.state, page.attempt.started_ms = "running", moment.now_ms
        elif kind in _CLOSED:
            page.attempt.state, page.attempt.ended_ms = _CLOSED[kind], moment.now_ms


def begins_anew(row: rows.JobRow) -> bool:
    """The job of this row is over for the views: what is accepted under its id is another life."""
    return row.state == rows.UNREADABLE or _STATES[row.state] in TERMINAL


def attempt_of(event: e.JobDispatched, moment: Moment) -> rows.AttemptRow:
    """The attempt that a dispatch opens. What is the pool's among its evidence is fitted to its columns."""
    others = dict.fromkeys(member.node for member in event.members if member.node != event.node)
    return rows.AttemptRow(
        event.job,
        event.attempt,
        moment.pool,
        event.dispatch,
        event.node,
        event.session,
        event.cluster,
        "staged",
        moment.now_ms,
        None,
        None,
        event.waited_ms,
        number(event.slo_ms),
        event.next_job,
        number(event.next_waited_ms),
        number(event.next_slo_ms),
        number(event.limit, "integer"),
        number(event.staged, "integer"),
        event.bound,
        others=tuple(others),
    )


def copy_of(job: str, offset: int, key: str, moment: Moment) -> rows.JobCopyRow:
    """A copy of the job's words lies at this offset of `jobs`."""
    return rows.JobCopyRow(job, offset, moment.pool, key)


def _copy(page: Page, event: e.JobAccepted | e.JobRefused | e.JobDuplicated, moment: Moment) -> None:
    page.copies.append(copy_of(event.job, event.offset, event.key, moment))


def _accepted(page: Page, event: e.JobAccepted, moment: Moment) -> None:
    _copy(page, event, moment)
    has_forecast = event.start_p90_ms != 0
    page.row = rows.JobRow(
        event.job,
        moment.pool,
        event.tenant,
        event.tier,
        event.model,
        event.version,
        JobState.SUBMITTED.value,
        event.submitted_ms,
        event.expires_ms,
        moment.now_ms,
        start_p50_ms=event.start_p50_ms if has_forecast else None,
        start_p90_ms=event.start_p90_ms if has_forecast else None,
    )


def _refused(page: Page, event: e.JobRefused, moment: Moment) -> None:
    """The event names neither tier nor model: they come from the api's receipt or the input beside it."""
    _copy(page, event, moment)
    if page.row is None:
        asked = moment.submissions.get(event.offset)
        page.row = rows.JobRow(
            event.job,
            moment.pool,
            event.tenant,
            asked.tier if asked else "",
            asked.model if asked else "",
            "",
            JobState.SUBMITTED.value,
            (asked.submitted_ms if asked else 0) or moment.now_ms,
            asked.expires_ms if asked else 0,
        )
    page.row.reason = event.reason


def _forecast(page: Page, event: e.StartForecast, moment: Moment) -> None:
    row = _row(page)
    row.start_p50_ms, row.start_p90_ms = event.p50_ms, event.p90_ms


def _dispatched(page: Page, event: e.JobDispatched, moment: Moment) -> None:
    row = _row(page)
    row.attempts = event.attempt
    row.dispatched_ms, row.started_ms = moment.now_ms, None
    page.attempt = attempt_of(event, moment)


def _started(page: Page, event: e.AttemptStarted, moment: Moment) -> None:
    attempt = _open(page, event)
    attempt.state = "running"
    attempt.started_ms = _row(page).started_ms = moment.now_ms


def _failed(page: Page, event: e.AttemptFailed, moment: Moment) -> None:
    attempt = _close(page, event, moment)
    attempt.failure, attempt.error, attempt.counts = event.kind, event.error, True
    row = _row(page)
    row.failure = event.kind
    row.failures += 1


def _closed(page: Page, event: e.AttemptClosed, moment: Moment) -> None:
    attempt = _close(page, event, moment)
    attempt.closed, attempt.counts = event.reason, event.counts
    _row(page).failures += event.counts


def _succeeded(page: Page, event: e.JobSucceeded, moment: Moment) -> None:
    _close(page, event, moment)
    row = _row(page)
    row.result_dispatch, row.result_manifest = event.dispatch, event.manifest


def _reason(page: Page, event: e.JobCancelling | e.JobCancelled, moment: Moment) -> None:
    _row(page).reason = event.reason


def _expired(page: Page, event: e.JobExpired, moment: Moment) -> None:
    _row(page).reason = "expired"


def _dead_lettered(page: Page, event: e.JobDeadLettered, moment: Moment) -> None:
    row = _row(page)
    row.failures = event.failures
    row.reason = row.failure or "lost"


def _quarantined(page: Page, event: e.JobQuarantined, moment: Moment) -> None:
    _row(page).reason = "nodes_lost"


def _erasure_ordered(page: Page, event: e.ErasureOrdered, moment: Moment) -> None:
    page.erases = True
    if page.row is not None:
        page.row.erasure = "ordered"


def _erased(page: Page, event: e.JobErased, moment: Moment) -> None:
    page.erases = True
    if page.row is not None:
        page.row.erasure, page.row.gone_by_ms = "erased", number(event.gone_by_ms)


def _row(page: Page) -> rows.JobRow:
    assert page.row is not None, "the lifecycle table lets no such event happen to a job without a row"
    return page.row


def _open(page: Page, event: Any) -> rows.AttemptRow:
    attempt = page.attempt
    if attempt is None or attempt.dispatch != event.dispatch:
        found = "no open attempt" if attempt is None else "another one open"
        raise IllegalTransition(f"{type(event).__name__} of an attempt; expected the open one, found {found}")
    return attempt


def _close(page: Page, event: Any, moment: Moment) -> rows.AttemptRow:
    attempt = _open(page, event)
    attempt.state, attempt.ended_ms = _CLOSED[type(event)], moment.now_ms
    return attempt


_CLOSED: dict[type, str] = {e.AttemptFailed: "failed", e.AttemptClosed: "closed", e.JobSucceeded: "succeeded"}
_EVENTS: dict[type, Callable[[Page, Any, Moment], None]] = {
    e.JobAccepted: _accepted,
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
