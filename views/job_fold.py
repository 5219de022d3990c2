"""The events of jobs applied to rows of `jobs`, `attempts`, `job_events` and `job_copies`: pure.

Theory of operation. Each event is applied to a draft of its job (views.job_draft). If the lifecycle forbids the event,
or a row of the draft does not fit its columns, the draft is dropped and *that job* is set aside: its row says
`unreadable` and why, and its later events are passed over until the ledger begins another life of the job. No other job
notices. The counts (jobs by state, attempts by place) are the differences between the rows before and after each event,
so the counts agree with the rows whatever happened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, NamedTuple

import msgspec

from contract.batch import Batch
from contract.inputs import Submission
from contract.lifecycle import IllegalTransition, JobState
from views import rows
from views.columns import fitted, is_key_text, misfit
from views.job_draft import LIFE_BEGINS, WORDS_GO, FoldedRecord, JobDraft, apply_event, apply_to_unreadable, copy_of
from views.words import words

EVENT_UNREADABLE = "JobUnreadable"
"""The entry in the feed of a job that says: this life of the job has no more entries. The ledger has no such event."""
_SAID = "the views cannot show what the ledger says of it from here on; the job itself goes on"


class Omission(NamedTuple):
    """Something that the views do not show."""

    job: str
    """Empty: it belongs to no job."""
    offset: int
    """Of the ledger record."""
    reason: str
    """Why, in our words: quotes nothing of the record."""


class Misfit(Exception):
    """A row does not fit its columns."""


class JobFold:
    """The rows of jobs while batches are folded over them. The public attributes have what changed."""

    def __init__(
        self,
        pool: str,
        jobs: Mapping[str, rows.JobRow],
        open_attempts: Mapping[str, rows.AttemptRow],
        started: Callable[[rows.AttemptRow, str], None] = lambda attempt, version: None,
    ) -> None:
        """`started` is called for each attempt that starts, with the version that it runs."""
        self._pool = pool
        self._stored = dict(jobs)
        self._known = dict(jobs)
        self._open = dict(open_attempts)
        self._started = started
        self.jobs: dict[str, rows.JobRow] = {}
        self.attempts: dict[tuple[str, int], rows.AttemptRow] = {}
        self.events: list[rows.JobEventRow] = []
        self.copies: dict[tuple[str, int], rows.JobCopyRow] = {}
        self.begun: set[str] = set()
        """Jobs that begin a new life: the stored attempts and events of the life before are deleted."""
        self.erased: set[str] = set()
        """Jobs whose words may leave no trace, not even a fingerprint."""
        self.counts: Counter[tuple[str, str, str]] = Counter()
        """Differences in the number of jobs, by (tenant, tier, state)."""
        self.in_clusters: Counter[tuple[str, str]] = Counter()
        """Differences in the number of open attempts and preparations, by (cluster, staged or running)."""
        self.in_nodes: Counter[tuple[str, str]] = Counter()
        """The same by node. A gang counts on each node where it has a rank."""
        self.omissions: list[Omission] = []
        self.passed_over = 0
        """How many events belonged to jobs that were set aside before."""
        self._record = FoldedRecord(pool, 0, {})
        self._seq = self._index = self._offset = 0

    def begin(self, offset: int, batch: Batch, now_ms: int) -> None:
        """Begins a batch: the events of the next calls belong to it."""
        self._seq, self._offset = batch.seq, offset
        submissions = {i.offset: i.body for i in batch.inputs if isinstance(i.body, Submission)}
        self._record = FoldedRecord(self._pool, now_ms, submissions)

    def add_copy(self, job: str, offset: int, key: str) -> None:
        """A copy of the job's words lies at this offset of `jobs`."""
        self._keep_copies([copy_of(job, offset, key, self._record)])

    def apply(self, index: int, event: Any) -> None:
        """One event of JOB_EVENTS."""
        job = event.job
        if not is_key_text(job):
            self.passed_over += 1
            self.omissions.append(Omission("", self._offset, "an event names a job by text that is no job id"))
            return
        self._index = index
        before, attempt = self._known.get(job), self._open.get(job)
        draft = JobDraft(copy(before), copy(attempt), [])
        if before is not None and before.state == rows.UNREADABLE and not isinstance(event, LIFE_BEGINS):
            apply_to_unreadable(draft, event, self._record)
            self.passed_over += 1
            said = [self._said(event, draft.row)] if isinstance(event, WORDS_GO) else []
        else:
            try:
                apply_event(draft, event, self._record)
                said = [self._said(event, draft.row)] if draft.row is not None else []  # nobody can ask for the others
                _check(draft.row, draft.attempt if draft.attempt != attempt else None, *draft.copies, *said)
            except Exception as error:  # every other job: whatever it is, only this job is set aside
                draft = self._set_aside(draft, event, attempt, _reason(error))
                said = [self._said(None, draft.row)]
        self._commit(job, before, attempt, draft)
        self.events += said

    def refuse(self, job: str, reason: str) -> None:
        """The database refuses the rows of this job. Only one row is stored, which says that the job is unreadable."""
        before, attempt = self._known.get(job), self._open.get(job)
        known = before or rows.JobRow(job, self._pool, "", "", "", "", "", self._record.now_ms)
        bare = rows.JobRow(job, self._pool, known.tenant, known.tier, "", "", "", known.submitted_ms)
        bare.ended_ms, bare.erasure, bare.gone_by_ms = known.ended_ms, known.erasure, known.gone_by_ms
        self._commit(job, before, attempt, JobDraft(self._unreadable(bare, reason), None, [], begins=True))
        self.copies = {key: copy for key, copy in self.copies.items() if key[0] != job}

    def leave_out(self, job: str) -> None:
        """The database refuses that row too: the row of the job stays as it was stored, if it was."""
        for row, difference in ((self.jobs.pop(job, None), -1), (self._stored.get(job), 1)):
            self._count(row, difference)
            self._count_preparation(row, difference)

    def _set_aside(self, draft: JobDraft, event: Any, attempt: rows.AttemptRow | None, reason: str) -> JobDraft:
        """The draft of a job that becomes unreadable by this event. `draft` is what the event had made of it so far."""
        begins = draft.begins
        if draft.row is None:
            tenant = getattr(event, "tenant", "")
            row = rows.JobRow(event.job, self._pool, tenant, "", "", "", "", self._record.now_ms)
        else:
            row = draft.row
        unreadable = JobDraft(self._unreadable(row, reason), None if begins else copy(attempt), [], begins=begins)
        apply_to_unreadable(unreadable, event, self._record)
        return unreadable

    def _unreadable(self, row: rows.JobRow, reason: str) -> rows.JobRow:
        self.omissions.append(Omission(row.job, self._offset, reason))
        reason = f"ledger offset {self._offset}: {reason}"
        return fitted(msgspec.structs.replace(row, state=rows.UNREADABLE, reason=reason))

    def _commit(self, job: str, before: rows.JobRow | None, attempt: rows.AttemptRow | None, draft: JobDraft) -> None:
        if draft.begins:
            self._forget(job)
        if draft.row is not None:
            self._known[job] = self.jobs[job] = draft.row
        if _counted(before) != _counted(draft.row):
            self._count(before, -1)
            self._count(draft.row, 1)
        if before is not draft.row:
            self._count_preparation(before, -1)
            self._count_preparation(draft.row, 1)
        self._commit_attempt(job, attempt, draft)
        self._keep_copies(draft.copies)
        if draft.erases:
            self.erased.add(job)

    def _commit_attempt(self, job: str, before: rows.AttemptRow | None, draft: JobDraft) -> None:
        now = draft.attempt
        if now == before:
            return
        if before is not None:
            self._count_attempt(before, -1)
            if not draft.begins and (now is None or now.attempt != before.attempt):
                gone = msgspec.structs.replace(before, state="closed", closed=rows.UNREADABLE)
                self.attempts[job, before.attempt] = gone
        self._open.pop(job, None)
        if now is None:
            return
        self.attempts[job, now.attempt] = now
        if now.is_open:
            self._open[job] = now
            self._count_attempt(now, 1)
        if now.state == "running" and (before is None or before.state != "running") and draft.row is not None:
            self._started(now, draft.row.version)

    def _forget(self, job: str) -> None:
        self.begun.add(job)
        self.events = [event for event in self.events if event.job != job]
        self.attempts = {key: attempt for key, attempt in self.attempts.items() if key[0] != job}

    def _count(self, row: rows.JobRow | None, difference: int) -> None:
        key = _counted(row)
        if key is not None:
            self.counts[key] += difference

    def _count_preparation(self, row: rows.JobRow | None, difference: int) -> None:
        """An open preparation counts as an attempt that has not started: the cluster's limit is about both."""
        if row is not None and row.prepare_cluster:
            self.in_clusters[row.prepare_cluster, "staged"] += difference
            self.in_nodes[row.prepare_node, "staged"] += difference

    def _count_attempt(self, attempt: rows.AttemptRow, difference: int) -> None:
        self.in_clusters[attempt.cluster, attempt.state] += difference
        for node in attempt.nodes:
            self.in_nodes[node, attempt.state] += difference

    def _keep_copies(self, copies: list[rows.JobCopyRow]) -> None:
        for row in copies:
            if misfit(row):
                self.passed_over += 1
            else:
                self.copies[row.job, row.offset] = row

    def _said(self, event: Any, row: rows.JobRow | None) -> rows.JobEventRow:
        """The entry in the feed for this event; for None the entry that says that the job is unreadable."""
        return rows.JobEventRow(
            row.job if row is not None else event.job,
            self._seq,
            self._index,
            self._pool,
            self._record.now_ms,
            type(event).__name__ if event is not None else EVENT_UNREADABLE,
            row.state if row is not None else "",
            row.attempts if row is not None else 0,
            words(event) if event is not None else _SAID,
            getattr(event, "actor", ""),
        )


def _check(*changed: msgspec.Struct | None) -> None:
    for row in changed:
        if row is not None and (found := misfit(row)):
            raise Misfit(found)


def _reason(error: Exception) -> str:
    """The reason in our words. The message of any other error may quote what a user wrote."""
    return str(error) if isinstance(error, Misfit | IllegalTransition) else type(error).__name__


def _counted(row: rows.JobRow | None) -> tuple[str, str, str] | None:
    """The key under which the row counts; None while the ledger has not named the job."""
    return None if row is None or row.state == JobState.SUBMITTED else (row.tenant, row.tier, row.state)
