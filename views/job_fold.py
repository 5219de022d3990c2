"""The events of jobs applied to rows of `jobs`, `attempts`, `job_events` and `job_copies`: pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from contract import events as e
from contract.batch import Batch
from contract.inputs import Submission
from contract.lifecycle import TERMINAL, IllegalTransition, JobState, after
from views import rows
from views.words import words

_STATES = {state.value: state for state in JobState}


class JobFold:
    """Rows of jobs under change. What changed since the beginning is in the public attributes."""

    def __init__(
        self, pool: str, jobs: Mapping[str, rows.JobRow], open_attempts: Mapping[str, rows.AttemptRow]
    ) -> None:
        self._pool = pool
        self._known = dict(jobs)
        self._open = dict(open_attempts)
        self.jobs: dict[str, rows.JobRow] = {}
        self.attempts: dict[tuple[str, int], rows.AttemptRow] = {}
        self.events: list[rows.JobEventRow] = []
        self.copies: dict[tuple[str, int], rows.JobCopyRow] = {}
        self.erased: set[str] = set()
        """Jobs of which no trace of their words may stay, not even a fingerprint."""
        self.counts: Counter[tuple[str, str, str]] = Counter()
        """Difference by (tenant, tier, state)."""
        self.in_flight: Counter[tuple[str, str, str]] = Counter()
        """Difference by (cluster, node, staged or running)."""
        self._now_ms = self._seq = self._index = self._offset = 0
        self._submissions: dict[int, Submission] = {}

    def begin(self, offset: int, batch: Batch) -> None:
        """The events that follow are those of this batch."""
        self._now_ms, self._seq, self._offset = batch.now_ms, batch.seq, offset
        self._submissions = {i.offset: i.body for i in batch.inputs if isinstance(i.body, Submission)}

    def copied(self, job: str, offset: int, key: str) -> None:
        """A copy of the job's words lies at this offset of `jobs`."""
        self.copies[job, offset] = rows.JobCopyRow(job, offset, self._pool, key)

    def apply(self, index: int, event: Any) -> None:
        """One event of JOB_EVENTS. IllegalTransition names pool, offset, job and event."""
        self._index = index
        name = type(event).__name__
        row = self._known.get(event.job)
        before = JobState.SUBMITTED if row is None else _STATES[row.state]
        try:
            state = after(before, name)
        except IllegalTransition as illegal:
            raise IllegalTransition(
                f"pool {self._pool}, ledger offset {self._offset}, event {self._index}, job {event.job}: {illegal}"
                "; the ledger or the views are damaged: run `headrace audit verify`, then fold the views again"
            ) from None
        handler = _JOBS.get(type(event))
        if handler is not None:
            row = handler(self, event, row)
        if row is not None:
            self._enter(row, before, state)
        self.events.append(
            rows.JobEventRow(
                event.job,
                self._seq,
                self._index,
                self._pool,
                self._now_ms,
                name,
                row.state if row is not None else "",
                row.attempts if row is not None else 0,
                words(event),
            )
        )

    def _enter(self, row: rows.JobRow, before: JobState, state: JobState) -> None:
        self._known[row.job] = self.jobs[row.job] = row
        if state is before:
            return
        row.state = state.value
        if before is not JobState.SUBMITTED:
            self.counts[row.tenant, row.tier, before.value] -= 1
        self.counts[row.tenant, row.tier, state.value] += 1
        if state in TERMINAL:
            row.ended_ms = self._now_ms

    def _accepted(self, event: e.JobAccepted, row: rows.JobRow | None) -> rows.JobRow:
        self.copied(event.job, event.offset, event.key)
        return rows.JobRow(
            event.job,
            self._pool,
            event.tenant,
            event.tier,
            event.model,
            event.version,
            JobState.SUBMITTED.value,
            event.submitted_ms,
            event.expires_ms,
            self._now_ms,
            start_p50_ms=event.start_p50_ms if event.start_p90_ms else None,
            start_p90_ms=event.start_p90_ms or None,
        )

    def _forecast(self, event: e.StartForecast, row: rows.JobRow) -> rows.JobRow:
        row.start_p50_ms, row.start_p90_ms = event.p50_ms, event.p90_ms
        return row

    def _refused(self, event: e.JobRefused, row: rows.JobRow | None) -> rows.JobRow:
        """The event names neither tier nor model: they come from the api's receipt or the input beside it."""
        self.copied(event.job, event.offset, event.key)
        asked = self._submissions.get(event.offset)
        if row is None:
            row = rows.JobRow(
                event.job,
                self._pool,
                event.tenant,
                asked.tier if asked else "",
                asked.model if asked else "",
                "",
                JobState.SUBMITTED.value,
                (asked.submitted_ms if asked else 0) or self._now_ms,
                asked.expires_ms if asked else 0,
            )
        row.reason = event.reason
        return row

    def _duplicated(self, event: e.JobDuplicated, row: rows.JobRow | None) -> rows.JobRow | None:
        self.copied(event.job, event.offset, event.key)
        return row

    def _dispatched(self, event: e.JobDispatched, row: rows.JobRow) -> rows.JobRow:
        row.attempts = event.attempt
        row.dispatched_ms, row.started_ms = self._now_ms, None
        attempt = rows.AttemptRow(
            event.job,
            event.attempt,
            self._pool,
            event.dispatch,
            event.node,
            event.session,
            event.cluster,
            "staged",
            self._now_ms,
            None,
            None,
            event.waited_ms,
            event.slo_ms,
            event.next_job,
            event.next_waited_ms,
            event.next_slo_ms,
            event.limit,
            event.staged,
            event.bound,
        )
        self._open[event.job] = self.attempts[event.job, event.attempt] = attempt
        self.in_flight[event.cluster, event.node, "staged"] += 1
        return row

    def _started(self, event: e.AttemptStarted, row: rows.JobRow) -> rows.JobRow:
        row.started_ms = self._now_ms
        attempt = self._attempt(event)
        self._move(attempt, "running")
        attempt.started_ms = self._now_ms
        return row

    def _failed(self, event: e.AttemptFailed, row: rows.JobRow) -> rows.JobRow:
        attempt = self._close(event, "failed")
        attempt.failure, attempt.error, attempt.counts = event.kind, event.error, True
        row.failure = event.kind
        row.failures += 1
        return row

    def _closed(self, event: e.AttemptClosed, row: rows.JobRow) -> rows.JobRow:
        attempt = self._close(event, "closed")
        attempt.closed, attempt.counts = event.reason, event.counts
        row.failures += event.counts
        return row

    def _succeeded(self, event: e.JobSucceeded, row: rows.JobRow) -> rows.JobRow:
        self._close(event, "succeeded")
        row.result_dispatch, row.result_manifest = event.dispatch, event.manifest
        return row

    def _reason(self, event: e.JobCancelling | e.JobCancelled, row: rows.JobRow) -> rows.JobRow:
        row.reason = event.reason
        return row

    def _expired(self, event: e.JobExpired, row: rows.JobRow) -> rows.JobRow:
        row.reason = "expired"
        return row

    def _dead_lettered(self, event: e.JobDeadLettered, row: rows.JobRow) -> rows.JobRow:
        row.failures = event.failures
        row.reason = row.failure or "lost"
        return row

    def _quarantined(self, event: e.JobQuarantined, row: rows.JobRow) -> rows.JobRow:
        row.reason = "nodes_lost"
        return row

    def _erasure_ordered(self, event: e.ErasureOrdered, row: rows.JobRow | None) -> rows.JobRow | None:
        self.erased.add(event.job)
        if row is not None:
            row.erasure = "ordered"
        return row

    def _erased(self, event: e.JobErased, row: rows.JobRow | None) -> rows.JobRow | None:
        self.erased.add(event.job)
        if row is not None:
            row.erasure, row.gone_by_ms = "erased", event.gone_by_ms
        return row

    def _attempt(self, event: Any) -> rows.AttemptRow:
        attempt = self._open.get(event.job)
        if attempt is None or attempt.dispatch != event.dispatch:
            found = "none" if attempt is None else attempt.dispatch
            raise IllegalTransition(
                f"pool {self._pool}, ledger offset {self._offset}, event {self._index}, job {event.job}:"
                f" {type(event).__name__} names dispatch {event.dispatch}; expected the open one, which is {found}"
            )
        self.attempts[attempt.job, attempt.attempt] = attempt
        return attempt

    def _move(self, attempt: rows.AttemptRow, state: str) -> None:
        if attempt.state in ("staged", "running"):
            self.in_flight[attempt.cluster, attempt.node, attempt.state] -= 1
        if state in ("staged", "running"):
            self.in_flight[attempt.cluster, attempt.node, state] += 1
        attempt.state = state

    def _close(self, event: Any, state: str) -> rows.AttemptRow:
        attempt = self._attempt(event)
        self._move(attempt, state)
        attempt.ended_ms = self._now_ms
        del self._open[event.job]
        return attempt


_JOBS: dict[type, Callable[[JobFold, Any, Any], rows.JobRow | None]] = {
    e.JobAccepted: JobFold._accepted,
    e.StartForecast: JobFold._forecast,
    e.JobRefused: JobFold._refused,
    e.JobDuplicated: JobFold._duplicated,
    e.JobDispatched: JobFold._dispatched,
    e.AttemptStarted: JobFold._started,
    e.AttemptFailed: JobFold._failed,
    e.AttemptClosed: JobFold._closed,
    e.JobSucceeded: JobFold._succeeded,
    e.JobCancelling: JobFold._reason,
    e.JobCancelled: JobFold._reason,
    e.JobExpired: JobFold._expired,
    e.JobDeadLettered: JobFold._dead_lettered,
    e.JobQuarantined: JobFold._quarantined,
    e.ErasureOrdered: JobFold._erasure_ordered,
    e.JobErased: JobFold._erased,
}
