"""The second book of preparations: how the media of jobs become inputs (I2, I3, I10, I11, I16).

A job that is preparing has at most one open preparation, at a node of a cluster of kind `prepare`, and what ends the
preparation was said of that one alone. Inputs serve the version that they were prepared for. No job waits for a slot
with media and without inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from audit.verify.second_book_nodes import NodeBook
from audit.verify.second_book_turns import MediaJob, OpenPreparation, TurnBook
from contract import events as said
from contract import inputs as heard
from contract import preparation_reports as reports
from contract.batch import Batch
from contract.policy import Policy

LOSSES_MAX = 5
"""Workers lost over one job after which its media are refused."""
_BY_REPORT = ("drained", "outage")
_WORKER_IS_GONE = ("lost", "rejoined")
_NODE_ENDS = (said.NodeLost, said.NodeDeparted, said.NodeAdmitted)


class PreparationBook:
    """Told of each event before the other books change; says what is wrong as (invariant, text, job)."""

    def __init__(self, nodes: NodeBook, wrong: Callable[[str, str, str], None]) -> None:
        self._nodes, self._wrong = nodes, wrong
        self._turns = TurnBook()
        self._jobs: dict[str, MediaJob] = {}
        self._at: dict[str, set[str]] = {}
        """By node: jobs that are being prepared there."""
        self._gone: set[str] = set()
        """Jobs whose worker is gone in this batch and whose preparation is still open."""
        self._to_drop: set[str] = set()
        """Jobs whose inputs serve them no more, and are not dropped yet."""
        self._prepares: dict[str, str] = {}
        """By version: the rules by which media are prepared for it."""
        self._slos: dict[str, int] = {}
        self._policy: Policy | None = None
        self._batch: Batch | None = None
        self._named: dict[int, int] = {}
        """How many media each submission of the batch names, by offset."""
        self._now_ms = 0
        self._takes: dict[type, Callable[[Any], None]] = {
            said.PolicyAdopted: self._adopt,
            said.PolicyReverted: self._adopt,
            said.VersionRegistered: self._register,
            said.VersionWithdrawn: self._withdraw,
            said.JobAccepted: self._accepted,
            said.JobPreparing: self._begin,
            said.PreparationOrdered: self._order,
            said.PreparationClosed: self._closed,
            said.InputsPrepared: self._prepared,
            said.InputsRefused: self._refused,
            said.InputsDropped: self._dropped,
            said.JobRepinned: self._repinned,
            said.AttemptFailed: self._failed,
            said.JobDispatched: self._dispatched,
            **dict.fromkeys(_NODE_ENDS, self._node_ends),
            **dict.fromkeys((said.JobSucceeded, said.JobDeadLettered, said.JobQuarantined), self._ended),
            **dict.fromkeys((said.JobCancelled, said.JobExpired), self._ended),
        }

    def begin(self, batch: Batch, now_ms: int) -> None:
        """Another batch, at this time of the pool's clock."""
        self._batch, self._now_ms = batch, now_ms
        self._named = {
            given.offset: given.body.media for given in batch.inputs if isinstance(given.body, heard.Submission)
        }
        self._turns.wake(self._nodes.lease_ms)

    def take(self, event: said.Event) -> None:
        take = self._takes.get(type(event))
        if take is not None:
            take(event)

    def check_end(self) -> None:
        """Between two batches: nothing is being prepared by a worker that is gone, and no inputs wait to be dropped."""
        for name in sorted(self._gone):
            self._wrong("I9", "its CPU worker is gone, and its preparation is still open", name)
        for name in sorted(self._to_drop & self._jobs.keys()):
            self._wrong("I6", f"its inputs serve it no more ({self._jobs[name].drops}) and were not dropped", name)
        self._gone.clear()
        self._to_drop.clear()

    # -- policies and versions ------------------------------------------------------------------------------------

    def _adopt(self, event: said.PolicyAdopted | said.PolicyReverted) -> None:
        self._policy = event.policy
        self._slos.update({name: tier.slo_ms for name, tier in event.policy.tiers.items()})

    def _register(self, event: said.VersionRegistered) -> None:
        self._prepares.setdefault(event.version, event.prepares)

    def _withdraw(self, event: said.VersionWithdrawn) -> None:
        self._turns.withdraw(event.version, self._jobs.values())

    # -- jobs -----------------------------------------------------------------------------------------------------

    def _accepted(self, event: said.JobAccepted) -> None:
        if self._prepares.get(event.version) and self._named.get(event.offset):
            self._wrong("I6", "it names media, and was accepted to wait for a slot without inputs", event.job)

    def _begin(self, event: said.JobPreparing) -> None:
        if not self._prepares.get(event.version):
            self._wrong("I6", f"it is to be prepared for version {event.version}, which takes no media", event.job)
        named = self._named.get(event.offset, 0)
        if event.media < 1 or event.media != named:
            self._wrong("I1", f"it is said to name {event.media} media, its submission names {named}", event.job)
        if event.job not in self._jobs:
            job = MediaJob(event.job, event.tier, event.tenant, event.version, event.submitted_ms)
            self._jobs[event.job] = job
            self._turns.enter(job)

    def _dispatched(self, event: said.JobDispatched) -> None:
        for node in dict.fromkeys((event.node, *(member.node for member in event.members))):
            if self._kind(node) == "prepare":
                self._wrong("I3", f"its attempt was sent to {node}, which is a CPU worker", event.job)
        job = self._jobs.get(event.job)
        if job is not None and (not job.prepared or job.drops):
            self._wrong("I6", "dispatched without inputs for its version", event.job)

    def _ended(self, event: Any) -> None:
        job = self._jobs.pop(event.job, None)
        if job is None:
            return
        if job.open is not None:
            self._wrong("I2", f"it ended while preparation {job.open.id} was open", job.job)
            self._close(job)
        self._turns.leave(job)

    # -- preparations ---------------------------------------------------------------------------------------------

    def _order(self, event: said.PreparationOrdered) -> None:
        job = self._jobs.get(event.job)
        if job is None:
            return
        if job.open is not None:
            self._wrong("I5", f"a second preparation while {job.open.id} is open", event.job)
            self._close(job)
        elif job.stands:
            self._check_turn(event, job)
            self._turns.count(job.job, self._now_ms, self._slos, self._policy)
            if not job.was_ordered:
                self._turns.charge(job, self._policy)
            self._turns.leave(job)
        else:
            why = "its inputs are there" if job.prepared else "it rests"
            self._wrong("I6", f"a preparation is ordered, and {why}", event.job)
        self._check_worker(event)
        waited = (self._now_ms - job.submitted_ms, self._slos.get(job.tier, 0))
        if (event.waited_ms, event.slo_ms) != waited:
            text = (
                f"it is said to have waited {event.waited_ms} of {event.slo_ms} ms, it had {waited[0]} of {waited[1]}"
            )
            self._wrong("I11", text, event.job)
        job.was_ordered, job.rests_until_ms = True, 0
        job.open = OpenPreparation(event.preparation, event.node, event.session)
        self._at.setdefault(event.node, set()).add(job.job)

    def _check_turn(self, event: said.PreparationOrdered, job: MediaJob) -> None:
        if job.version in self._turns.withdrawn:
            return  # the book of versions says so
        turn = self._turns.next(self._now_ms, self._slos, self._policy)
        if turn != event.job:
            self._wrong("I11", f"its media were prepared when it was the turn of {turn}", event.job)

    def _kind(self, node: str) -> str:
        known = self._nodes.nodes.get(node)
        return known.kind if known is not None else ""

    def _check_worker(self, event: said.PreparationOrdered) -> None:
        if self._kind(event.node) == "run":
            self._wrong("I3", f"its media were sent to {event.node}, which is no CPU worker", event.job)
        known = self._nodes.nodes.get(event.node)
        if known is not None and len(self._at.get(event.node, ())) >= known.usable:
            self._wrong("I3", f"its media were sent to {event.node}, which has no free slot", event.job)

    def _close(self, job: MediaJob) -> None:
        if job.open is not None:
            self._at.get(job.open.node, set()).discard(job.job)
            if not self._at.get(job.open.node, True):
                del self._at[job.open.node]
        self._gone.discard(job.job)
        job.open = None

    def _is_open(self, event: Any, job: MediaJob) -> bool:
        """The event names the job's open preparation."""
        found = job.open.id if job.open is not None else ""
        if event.preparation == found != "":
            return True
        text = f"{type(event).__name__} names {event.preparation or 'none'}, the open preparation is {found or 'none'}"
        self._wrong("I10", text, job.job)
        return False

    def _said(self, job: MediaJob) -> Iterator[reports.PreparationReport]:
        """What the worker of the open preparation says of it in this batch."""
        at = job.open
        for given in self._batch.inputs if self._batch is not None else ():
            body = given.body
            if (
                at is None
                or not isinstance(body, heard.NodeReport)
                or (body.node, body.session) != (at.node, at.session)
            ):
                continue
            for report in body.reports:
                if isinstance(report, reports.PreparationReport) and (report.job, report.preparation) == (
                    job.job,
                    at.id,
                ):
                    yield report

    def _prepared(self, event: said.InputsPrepared) -> None:
        job = self._jobs.get(event.job)
        if job is None:
            return
        if self._is_open(event, job):
            fields = ("manifest", "bytes", "fetch_ms", "check_ms", "decode_ms")
            if not any(
                isinstance(report, reports.PreparationDone)
                and all(getattr(report, field) == getattr(event, field) for field in fields)
                for report in self._said(job)
            ):
                self._wrong("I8", "no report of its CPU worker in this batch brings these inputs", job.job)
        self._turns.leave(job)
        self._close(job)
        job.prepared, job.losses, job.rests_until_ms = event.preparation, 0, 0

    def _refused(self, event: said.InputsRefused) -> None:
        job = self._jobs.get(event.job)
        if job is None:
            return
        if event.kind == "worker_lost":
            if event.preparation or job.open is not None or job.losses < LOSSES_MAX:
                self._wrong("I4", f"its media are refused after {job.losses} lost workers", job.job)
        elif self._is_open(event, job) and not any(
            isinstance(report, reports.PreparationRefused) and report.kind == event.kind for report in self._said(job)
        ):
            self._wrong("I10", f"its media are refused as {event.kind}, and its CPU worker did not say so", job.job)
        self._close(job)
        self._ended(event)

    def _closed(self, event: said.PreparationClosed) -> None:
        job = self._jobs.get(event.job)
        if job is None:
            return
        if self._is_open(event, job) and event.reason in _BY_REPORT and not self._gave_back(job, event.reason):
            self._wrong("I10", f"its preparation ended as {event.reason}, and its CPU worker did not say so", job.job)
        if event.counts != (event.reason in _WORKER_IS_GONE):
            self._wrong("I4", f"its preparation ended as {event.reason}, counted as a lost worker or not", job.job)
        if job.open is None:
            return
        self._close(job)
        job.losses += event.counts
        self._turns.enter_from(job, event.eligible_lease_ms, self._nodes.lease_ms)

    def _gave_back(self, job: MediaJob, reason: str) -> bool:
        """The worker said so, or left in order."""
        stops = (report for report in self._said(job) if isinstance(report, reports.PreparationStopped))
        return any(report.reason == reason for report in stops) or (reason == "drained" and self._left(job))

    def _left(self, job: MediaJob) -> bool:
        at = job.open
        return at is not None and any(
            isinstance(given.body, heard.NodeLeft) and (given.body.node, given.body.session) == (at.node, at.session)
            for given in (self._batch.inputs if self._batch is not None else ())
        )

    def _node_ends(self, event: said.NodeLost | said.NodeDeparted | said.NodeAdmitted) -> None:
        """The session's preparations are over: each is closed in this batch."""
        self._gone |= self._at.get(event.node, set())

    # -- inputs that serve no more --------------------------------------------------------------------------------

    def _repinned(self, event: said.JobRepinned) -> None:
        job = self._jobs.get(event.job)
        if job is None:
            return
        stood = job.stands
        self._turns.leave(job)
        if job.prepared and self._prepares.get(event.version, "") != self._prepares.get(job.version, ""):
            self._must_drop(job, "withdrawn")
        job.version = event.version
        if stood:
            self._turns.enter(job)

    def _must_drop(self, job: MediaJob, reason: str) -> None:
        job.drops = reason
        self._to_drop.add(job.job)

    def _failed(self, event: said.AttemptFailed) -> None:
        job = self._jobs.get(event.job)
        if job is not None and event.kind == "inputs_missing":
            self._must_drop(job, "missing")

    def _dropped(self, event: said.InputsDropped) -> None:
        job = self._jobs.get(event.job)
        if job is None:
            self._wrong("I6", "inputs are dropped of a job that names no media", event.job)
            return
        if (event.preparation, event.reason) != (job.prepared, job.drops):
            text = f"inputs {event.preparation or 'none'} are dropped ({event.reason}), and serve the job's version"
            self._wrong("I6", text, job.job)
        self._to_drop.discard(job.job)
        job.prepared = job.drops = ""
        self._turns.enter_from(job, event.eligible_lease_ms, self._nodes.lease_ms)
