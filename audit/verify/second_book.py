"""Invariants that the ledger shows by itself: what each event presupposes (I1 to I6, I8, I15, I16).

A second book beside the fold, so that batches whose rules this release does not have are judged too, and so that the
core is not its only judge. It reads batches that count and keeps little: jobs that have not ended, and ids that have
for as long as they may not come again. An id that ended longer ago is another life of its job, of which all the same
must hold.
"""

from __future__ import annotations

from itertools import islice, takewhile
from typing import Any

import msgspec

from audit.verify.second_book_gangs import GangBook
from audit.verify.verdict import Finding
from contract import events as said
from contract import inputs as heard
from contract.batch import ELAPSED_MAX_MS, IDS_FORGOTTEN_MAX, INPUT_AHEAD_MAX_MS, Batch
from contract.lifecycle import ANYWHERE, TERMINAL, IllegalTransition, JobState, after
from contract.names import dispatch_id, dispatch_order
from contract.policy import Policy

MINUTE_MS = 60_000
"""Ids that ended within one minute of the pool's clock are forgotten together."""


class _Job(msgspec.Struct):
    state: JobState
    attempts: int = 0
    failures: int = 0
    dispatch: str = ""
    node: str = ""
    session: str = ""
    cluster: str = ""


class _Node(msgspec.Struct):
    session: str
    cluster: str
    slots: int
    heard_lease_ms: int


class SecondBook:
    """Feed it each batch that counts, in order; it returns what is wrong with it."""

    def __init__(self) -> None:
        self.jobs = 0
        """Lives of jobs that began."""
        self.ended: dict[str, int] = {}
        """Ids that have ended and may not come again yet, and the minute (ms) in which they did: the oldest first."""
        self._jobs: dict[str, _Job] = {}
        self._nodes: dict[str, _Node] = {}
        self._gangs = GangBook(self._nodes, self._wrong)
        self._staged: dict[str, int] = {}
        self._adapted: dict[str, int] = {}
        """Limits in force that are not the policy's own, by cluster."""
        self._policy: Policy | None = None
        self._failures_max = 0
        self._now_ms = self._lease_ms = self._position = 0
        self._last_dispatch = (0, 0, 0)
        self._offset = 0
        self._batch: Batch | None = None
        self._found: list[Finding] = []

    @property
    def open_jobs(self) -> int:
        return len(self._jobs)

    def knows(self, job: str) -> bool:
        return job in self._jobs or job in self.ended

    def batch(self, offset: int, batch: Batch) -> list[Finding]:
        self._offset, self._batch, self._found = offset, batch, []
        self._header(batch)
        self._now_ms = max(self._now_ms, batch.now_ms)
        self._forget()
        self._lease_ms += batch.elapsed_ms
        self._position = batch.position
        for index, event in enumerate(batch.events):
            self._event(index, event)
        self._submissions(batch)
        return self._found

    def _wrong(self, invariant: str, text: str, job: str = "") -> None:
        self._found.append(Finding(self._offset, invariant, text, job))

    def _forget(self) -> None:
        """Ids whose submissions are too old to come again, by the policy that was in force until now."""
        if self._policy is None:
            return
        last_ms = self._now_ms - self._policy.submission_age_max_ms - MINUTE_MS
        gone = takewhile(lambda job: self.ended[job] <= last_ms, self.ended)
        for job in list(islice(gone, IDS_FORGOTTEN_MAX)):
            del self.ended[job]

    def _end(self, job: str) -> None:
        self.ended[job] = self._now_ms - self._now_ms % MINUTE_MS

    # -- the header and the inputs ------------------------------------------------------------------------------

    def _header(self, batch: Batch) -> None:
        if batch.now_ms < self._now_ms:
            self._wrong("I14", f"expected a time of at least {self._now_ms}, found {batch.now_ms}")
        if not 0 <= batch.elapsed_ms <= ELAPSED_MAX_MS:
            self._wrong("I16", f"expected 0 to {ELAPSED_MAX_MS} ms of lease time, found {batch.elapsed_ms}")
        last = self._position - 1
        for given in batch.inputs:
            if not last < given.offset < batch.position:
                self._wrong(
                    "I1", f"input {given.offset} is out of order or outside {self._position} to {batch.position}"
                )
            last = max(last, given.offset)
            if batch.now_ms < given.at_ms <= self._now_ms + INPUT_AHEAD_MAX_MS:
                self._wrong(
                    "I14", f"the batch's time {batch.now_ms} is before its input {given.offset} ({given.at_ms})"
                )
        if batch.position < self._position:
            self._wrong("I1", f"the position goes back from {self._position} to {batch.position}")

    def _submissions(self, batch: Batch) -> None:
        """Each submission that was read has an outcome in the same batch (I1)."""
        asked = {i.offset: i.body.job for i in batch.inputs if isinstance(i.body, heard.Submission)}
        if not asked:
            return
        outcomes = (said.JobAccepted, said.JobRefused, said.JobDuplicated, said.InputQuarantined)
        answered = {event.offset for event in batch.events if isinstance(event, outcomes)}
        for offset, job in asked.items():
            if offset not in answered:
                self._wrong("I1", f"the submission at offset {offset} of `jobs` was read and has no outcome", job)

    # -- events -------------------------------------------------------------------------------------------------

    def _event(self, index: int, event: said.Event) -> None:
        self._gangs.event(event, self._now_ms)
        match event:
            case said.LimitAdapted():
                self._limit(event)
            case said.PolicyAdopted() | said.PolicyReverted():
                self._policy = event.policy
                self._adapted.clear()
                self._failures_max = max(self._failures_max, event.policy.failures_max)
            case said.NodeAdmitted():
                self._nodes[event.node] = _Node(event.session, event.cluster, event.slots, self._lease_ms)
            case said.NodeHeard():
                node = self._nodes.get(event.node)
                if node is not None:
                    node.heard_lease_ms = self._lease_ms
            case said.NodeDeparted():
                self._nodes.pop(event.node, None)
            case said.NodeLost():
                self._lost(event)
            case said.JobAccepted() | said.JobRefused():
                if self.knows(event.job):
                    self._wrong("I2", f"{type(event).__name__} of a job that the ledger knows already", event.job)
                    return
                self.jobs += 1
                if isinstance(event, said.JobRefused):
                    self._end(event.job)
                else:
                    self._jobs[event.job] = _Job(JobState.QUEUED)
            case _:
                job = getattr(event, "job", "")
                name = type(event).__name__
                if job and name not in ANYWHERE and not isinstance(event, said.InputQuarantined):
                    self._job_event(index, event, name, job)

    def _job_event(self, index: int, event: Any, name: str, job_id: str) -> None:
        job = self._jobs.get(job_id)
        if job is None:
            ended = "ended before" if job_id in self.ended else "was not accepted"
            self._wrong("I2", f"{name} of a job that {ended}", job_id)
            return
        try:
            state = after(job.state, name)
        except IllegalTransition as illegal:
            self._wrong("I6" if name == "JobDispatched" else "I2", str(illegal), job_id)
            return
        dispatch = getattr(event, "dispatch", None)
        if dispatch is not None and name != "JobDispatched" and dispatch != job.dispatch:
            self._wrong("I10", f"{name} names {dispatch}, the open attempt is {job.dispatch or 'none'}", job_id)
        if name == "JobDispatched":
            self._dispatched(index, event, job)
        elif name in ("AttemptFailed", "AttemptClosed"):
            if name == "AttemptFailed" or event.counts:
                self._failed(job, job_id)
            self._close(job)
        elif name == "AttemptStarted":
            self._unstage(job)
        elif name == "JobRequeued" and self._policy is not None and job.failures >= self._policy.failures_max:
            self._wrong("I4", f"requeued after {job.failures} failures, the cap is {self._policy.failures_max}", job_id)
        elif name == "JobSucceeded":
            self._reported(event, job)
            self._close(job)
        job.state = state
        if state in TERMINAL:
            if job.dispatch:
                self._wrong("I2", f"{name} while attempt {job.dispatch} is open", job_id)
                self._close(job)
            del self._jobs[job_id]
            self._end(job_id)

    def _dispatched(self, index: int, event: said.JobDispatched, job: _Job) -> None:
        assert self._batch is not None
        if job.dispatch or event.attempt != job.attempts + 1:
            self._wrong("I5", f"attempt {event.attempt} after attempt {job.attempts}", event.job)
        order = dispatch_order(event.dispatch)
        named = (event.dispatch, order > self._last_dispatch)
        if named != (dispatch_id(self._batch.epoch, self._batch.seq, index), True):
            self._wrong("I15", f"dispatch {event.dispatch} is not named by its record and place", event.job)
        self._last_dispatch = max(self._last_dispatch, order)
        node = self._nodes.get(event.node)
        if node is None or (node.session, node.cluster) != (event.session, event.cluster):
            self._wrong("I3", f"sent to session {event.session}, which no node of {event.cluster} has", event.job)
        job.attempts, job.dispatch = event.attempt, event.dispatch
        job.node, job.session, job.cluster = event.node, event.session, event.cluster
        staged = self._staged[event.cluster] = self._staged.get(event.cluster, 0) + 1
        entry = self._policy.clusters.get(event.cluster) if self._policy is not None else None
        limit = self._adapted.get(event.cluster, entry.limit) if entry is not None else 0
        if staged > limit or (event.limit, event.staged) != (limit, staged):
            self._wrong(
                "I3",
                f"{staged} attempts of {event.cluster} are dispatched and not started, the limit in force is {limit};"
                f" the dispatch says {event.staged} and {event.limit}",
                event.job,
            )

    def _limit(self, event: said.LimitAdapted) -> None:
        entry = self._policy.clusters.get(event.cluster) if self._policy is not None else None
        most = entry.limit if entry is not None else 0
        least = most if entry is None or not entry.adaptive else 1
        if not 1 <= least <= event.limit <= most:
            self._wrong("I3", f"{event.cluster} gets limit {event.limit}, the policy allows {least} to {most} there")
        self._adapted[event.cluster] = event.limit

    def _failed(self, job: _Job, job_id: str) -> None:
        job.failures += 1
        if job.failures > self._failures_max:
            self._wrong("I4", f"{job.failures} failures, the highest cap ever was {self._failures_max}", job_id)

    def _unstage(self, job: _Job) -> None:
        """Called once for each attempt: when it starts, or when it is closed without having started."""
        if job.dispatch and job.cluster:
            self._staged[job.cluster] -= 1
            job.cluster = ""

    def _close(self, job: _Job) -> None:
        self._unstage(job)
        job.dispatch = job.node = job.session = ""

    def _reported(self, event: said.JobSucceeded, job: _Job) -> None:
        """I8: the open attempt's own node and session reported this manifest in this batch."""
        assert self._batch is not None
        for given in self._batch.inputs:
            body = given.body
            if isinstance(body, heard.NodeReport) and (body.node, body.session) == (job.node, job.session):
                for report in body.reports:
                    if (
                        isinstance(report, heard.Succeeded)
                        and (report.job, report.dispatch) == (event.job, event.dispatch)
                        and report.manifest == event.manifest
                    ):
                        return
        self._wrong("I8", f"no report of {job.session} in this batch brings this result", event.job)

    def _lost(self, event: said.NodeLost) -> None:
        assert self._batch is not None
        node = self._nodes.pop(event.node, None)
        if node is None or node.session != event.session or self._policy is None:
            self._wrong("I16", f"session {event.session} of {event.node} is called lost and is not there")
            return
        silent_ms = self._lease_ms - node.heard_lease_ms
        if silent_ms < self._policy.node_lease_ms:
            self._wrong(
                "I16",
                f"{event.node} was given up after {silent_ms} ms of lease time, its lease is"
                f" {self._policy.node_lease_ms} ms",
            )
        if not self._batch.caught_up:
            self._wrong("I16", f"{event.node} was given up by a batch that had not caught up with `jobs`")
