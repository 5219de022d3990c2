"""Invariants that the ledger shows by itself: what each event presupposes (I1 to I6, I8, I15, I16).

The second book is kept beside the fold and shares no code with `scheduling`. So batches whose rules this release does
not have are judged too, and the core is not its only judge. The book reads batches that count and keeps little: jobs
that have not ended, and the ids of ended jobs for as long as those ids may not come again. An id that comes later is
another life of its job, and everything holds for each life.

This file keeps the jobs; `second_book_inputs`, `second_book_nodes`, `second_book_limits`, `second_book_gangs`,
`second_book_cordons`, `second_book_avoidance`, `second_book_deaf`, `second_book_versions`, `second_book_preparations`
and `second_book_access` keep the rest.
"""

from __future__ import annotations

from itertools import islice, takewhile
from typing import Any

import msgspec

from audit.verify.second_book_access import AccessBook
from audit.verify.second_book_avoidance import AvoidanceBook
from audit.verify.second_book_cordons import CordonBook
from audit.verify.second_book_deaf import DeafBook
from audit.verify.second_book_gangs import GangBook
from audit.verify.second_book_inputs import InputBook
from audit.verify.second_book_limits import LimitBook
from audit.verify.second_book_nodes import NodeBook
from audit.verify.second_book_preparations import PreparationBook
from audit.verify.second_book_versions import VersionBook
from audit.verify.verdict import Finding
from contract import events as said
from contract import inputs as heard
from contract.batch import IDS_FORGOTTEN_MAX, Batch
from contract.lifecycle import ANYWHERE, TERMINAL, IllegalTransition, JobState, after
from contract.names import dispatch_id, dispatch_order
from contract.policy import Policy

RULES_THAT_SET_ASIDE = 4
"""Schedulers of earlier rules avoid no node and repeat their orders for ever."""
MINUTE_MS = 60_000
"""Ids of jobs that ended within one minute of the pool's clock are forgotten together."""


class _BookedJob(msgspec.Struct):
    state: JobState
    attempts: int = 0
    failures: int = 0
    dispatch: str = ""
    node: str = ""
    session: str = ""
    version: str = ""
    cluster: str = ""
    """The cluster where the open attempt is staged, or the media are prepared; empty once the attempt has started."""


class SecondBook:
    """Takes each batch that counts, in order, and returns what is wrong with the batch."""

    def __init__(self) -> None:
        self.jobs = 0
        """Lives of jobs that began."""
        self.ended: dict[str, int] = {}
        """The minute (ms) in which a job ended, by its id, for ids that may not come again yet; the oldest first."""
        self._jobs: dict[str, _BookedJob] = {}
        self._inputs = InputBook(self._wrong)
        self._nodes = NodeBook(self._wrong)
        self._limits = LimitBook(self._wrong)
        self._gangs = GangBook(self._nodes.nodes, self._wrong)
        self._cordons = CordonBook(self._nodes, self._wrong)
        self._avoidance = AvoidanceBook(self._nodes.nodes, self._cordons.cordoned, self._wrong)
        self._deaf = DeafBook(self._nodes, self._wrong)
        self._access = AccessBook(self._nodes, self._wrong)
        self._rules = 0
        """Of the scheduler that leads."""
        self._versions = VersionBook(self._wrong)
        self._preparations = PreparationBook(self._nodes, self._wrong)
        self._policy: Policy | None = None
        self._failures_max = 0
        self._held = False
        self._last_dispatch = (0, 0, 0)
        self._offset = 0
        self._found: list[Finding] = []

    @property
    def open_jobs(self) -> int:
        return len(self._jobs)

    def knows(self, job: str) -> bool:
        return job in self._jobs or job in self.ended

    def take(self, offset: int, batch: Batch) -> list[Finding]:
        """Judges the batch at this offset of the ledger."""
        self._offset, self._found = offset, []
        self._inputs.check_header(batch)
        self._forget()
        self._nodes.elapse(batch.elapsed_ms)
        self._preparations.begin(batch, self._inputs.now_ms)
        for index, event in enumerate(batch.events):
            self._take_event(batch, index, event)
        self._cordons.check_end()
        self._deaf.check_end()
        self._preparations.check_end()
        self._inputs.check_signers(batch)
        self._inputs.check_submissions(batch)
        return self._found

    def _wrong(self, invariant: str, text: str, job: str = "") -> None:
        self._found.append(Finding(self._offset, invariant, text, job))

    def _forget(self) -> None:
        """Forgets ids whose submissions are too old to come again, by the policy that was in force until now."""
        if self._policy is None:
            return
        last_ms = self._inputs.now_ms - self._policy.submission_age_max_ms - MINUTE_MS
        gone = takewhile(lambda job: self.ended[job] <= last_ms, self.ended)
        for job in list(islice(gone, IDS_FORGOTTEN_MAX)):
            del self.ended[job]

    def _end(self, job: str) -> None:
        now_ms = self._inputs.now_ms
        self.ended[job] = now_ms - now_ms % MINUTE_MS

    # -- events -------------------------------------------------------------------------------------------------

    def _take_event(self, batch: Batch, index: int, event: said.Event) -> None:
        self._gangs.take(event, self._inputs.now_ms)
        self._cordons.take(event)
        self._versions.take(event)
        self._access.take(batch, event)
        self._preparations.take(event)
        match event:
            case said.LimitAdapted():
                self._limits.adapt(event)
            case said.PolicyAdopted() | said.PolicyReverted():
                self._policy = event.policy
                self._limits.adopt(event.policy)
                self._avoidance.adopt(event.policy, batch.pool)
                self._cordons.node_lease_ms = event.policy.node_lease_ms
                self._failures_max = max(self._failures_max, event.policy.failures_max)
            case said.PoolHeld() | said.PoolReleased():
                self._held = isinstance(event, said.PoolHeld)
            case said.NodeAdmitted():
                self._nodes.admit(event, self._policy)
                self._deaf.forget(event.node)
            case said.NodeHeard():
                self._nodes.hear(event)
                if self._rules >= RULES_THAT_SET_ASIDE:
                    self._deaf.hear(event, self._cordons.node_lease_ms)
            case said.NodeSlotsChanged():
                self._nodes.change_slots(event)
            case said.NodeDrained():
                self._nodes.drain(event)
                self._deaf.drained(event)
            case said.NodeDeparted():
                self._nodes.depart(event)
                self._deaf.forget(event.node)
            case said.NodeLost():
                self._nodes.lose(event, self._policy, caught_up=batch.caught_up)
                self._deaf.forget(event.node)
            case said.ClusterDraining() | said.ClusterReturned():
                self._avoidance.change_cluster(event)
            case said.VersionRegistered():
                self._avoidance.register(event)
            case said.Opened():
                self._rules = self._access.rules = event.rules
            case said.JobAccepted() | said.JobPreparing() | said.JobRefused():
                self._begin(event)
            case _:
                job = getattr(event, "job", "")
                name = type(event).__name__
                if job and name not in ANYWHERE and not isinstance(event, said.InputQuarantined):
                    self._take_job_event(batch, index, event, name, job)

    def _begin(self, event: said.JobAccepted | said.JobPreparing | said.JobRefused) -> None:
        if self.knows(event.job):
            self._wrong("I2", f"{type(event).__name__} of a job that the ledger knows already", event.job)
            return
        self.jobs += 1
        if isinstance(event, said.JobRefused):
            self._end(event.job)
        else:
            state = after(JobState.SUBMITTED, type(event).__name__)
            self._jobs[event.job] = _BookedJob(state, version=event.version)

    def _take_job_event(self, batch: Batch, index: int, event: Any, name: str, job_id: str) -> None:
        job = self._jobs.get(job_id)
        if job is None:
            ended = "ended before" if job_id in self.ended else "was not accepted"
            self._wrong("I2", f"{name} of a job that {ended}", job_id)
            return
        try:
            state = after(job.state, name)
        except IllegalTransition as illegal:
            self._wrong("I6" if name in ("JobDispatched", "PreparationOrdered") else "I2", str(illegal), job_id)
            return
        dispatch = getattr(event, "dispatch", None)
        if dispatch is not None and name != "JobDispatched" and dispatch != job.dispatch:
            self._wrong("I10", f"{name} names {dispatch}, the open attempt is {job.dispatch or 'none'}", job_id)
        if name == "JobDispatched":
            self._dispatch(batch, index, event, job)
        elif name in ("AttemptFailed", "AttemptClosed"):
            if event.counts:
                self._fail(job, job_id)
            if name == "AttemptClosed" and self._rules >= RULES_THAT_SET_ASIDE:
                self._deaf.closed(event.dispatch, event, batch)
            self._close(job)
        elif name == "PreparationOrdered":
            self._prepare(batch, index, event, job)
        elif name in ("PreparationClosed", "InputsPrepared", "InputsRefused"):
            if name == "PreparationClosed":
                self._deaf.closed(event.preparation, event, batch)
            self._unstage(job)
        elif name == "AttemptStarted":
            self._unstage(job)
        elif name == "JobRepinned":
            job.version = event.version
        elif name == "JobRequeued" and self._policy is not None and job.failures >= self._policy.failures_max:
            self._wrong("I4", f"requeued after {job.failures} failures, the cap is {self._policy.failures_max}", job_id)
        elif name == "JobSucceeded":
            self._check_reported(batch, event, job)
            self._close(job)
        job.state = state
        if state in TERMINAL:
            if job.dispatch:
                self._wrong("I2", f"{name} while attempt {job.dispatch} is open", job_id)
                self._close(job)
            del self._jobs[job_id]
            self._end(job_id)

    def _dispatch(self, batch: Batch, index: int, event: said.JobDispatched, job: _BookedJob) -> None:
        if job.dispatch or event.attempt != job.attempts + 1:
            self._wrong("I5", f"attempt {event.attempt} after attempt {job.attempts}", event.job)
        self._check_order(batch, index, event, event.dispatch)
        if self._rules >= RULES_THAT_SET_ASIDE:
            self._avoidance.check(event, job.version, self._cordons.failed_on(event.job))
        job.attempts, job.dispatch = event.attempt, event.dispatch
        job.node, job.session, job.cluster = event.node, event.session, event.cluster
        self._limits.stage(event, (event.limit, event.staged))

    def _prepare(self, batch: Batch, index: int, event: said.PreparationOrdered, job: _BookedJob) -> None:
        """It is no attempt: it has no number. It counts for its cluster until it is over."""
        self._check_order(batch, index, event, event.preparation)
        self._cordons.check_preparation(event)
        self._unstage(job)
        job.cluster = event.cluster
        self._limits.stage(event, (event.limit, event.open))

    def _check_order(
        self, batch: Batch, index: int, event: said.JobDispatched | said.PreparationOrdered, dispatch: str
    ) -> None:
        """Something is sent to a node: by whom it is named, where it goes, and whether anything may be sent now."""
        if self._held:
            self._wrong("I6", "dispatched while the pool was on hold", event.job)
        order = dispatch_order(dispatch)
        named = (dispatch, order > self._last_dispatch)
        if named != (dispatch_id(batch.epoch, batch.seq, index), True):
            self._wrong("I15", f"dispatch {dispatch} is not named by its record and place", event.job)
        self._last_dispatch = max(self._last_dispatch, order)
        self._nodes.check_session(event)

    def _fail(self, job: _BookedJob, job_id: str) -> None:
        job.failures += 1
        if job.failures > self._failures_max:
            self._wrong("I4", f"{job.failures} failures, the highest cap ever was {self._failures_max}", job_id)

    def _unstage(self, job: _BookedJob) -> None:
        """An attempt starts, or is closed, or a preparation is over. Only the first changes what counts for the
        cluster."""
        if job.cluster:
            self._limits.unstage(job.cluster)
            job.cluster = ""

    def _close(self, job: _BookedJob) -> None:
        self._unstage(job)
        job.dispatch = job.node = job.session = ""

    def _check_reported(self, batch: Batch, event: said.JobSucceeded, job: _BookedJob) -> None:
        """I8: the open attempt's own node and session reported this manifest in this batch."""
        for given in batch.inputs:
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
