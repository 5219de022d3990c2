"""What the events of jobs whose media are prepared presuppose, and what they change in the auditor's books (I2, I3, I5,
I8, I10, I15).

Written from design section 5: a job has at most one open preparation, which is no attempt; a word counts only if it
names the open one; a job waits for a slot only with the inputs that its version asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulation.job_rules import JobRules
from tests.simulation.node_rules import Event
from tests.simulation.pages import JobBook, Moment
from tests.simulation.violation import Violation

LOSSES_MAX = 5
"""So many workers may be lost over the media of one job."""
ENDS_WITH = {"cancel": "JobCancelled", "erase": "JobCancelled", "expired": "JobExpired"}


class PreparingRules(JobRules):
    def __init__(self, stored: Callable[[str, str], str | None]) -> None:
        super().__init__(stored)
        self.preparations = self.prepared = self.dropped = self.worker_losses = self.media_refused = 0
        """How many preparations were ordered, how often inputs came, were dropped, a worker was lost over media, and
        media were refused."""
        self.stored_inputs: Callable[[str, str], str | None] = lambda job, preparation: None
        self._must_end: dict[str, str] = {}
        """By job: the event that must end it in this batch."""

    def open_in(self, cluster: str) -> int:
        return sum(book.cluster == cluster and not book.started for book in self.jobs.values())

    # -- acceptance -------------------------------------------------------------------------------------------

    def _is_to_prepare(self, job: str) -> bool:
        book = self.jobs[job]
        return bool(book.media and self.prepares[book.version])

    def _JobAccepted(self, event: Event, moment: Moment) -> None:
        super()._JobAccepted(event, moment)
        if self._is_to_prepare(event["job"]):
            raise Violation("I6", "waits for a slot, and its media are not prepared", event["job"])
        self.jobs[event["job"]].media = 0

    def _JobPreparing(self, event: Event, moment: Moment) -> None:
        super()._JobAccepted(event, moment)
        book = self.jobs[event["job"]]
        if not self._is_to_prepare(book.job) or event["media"] != book.media:
            raise Violation("I6", f"{event['media']} media are to be prepared, there are {book.media}", book.job)
        book.state = "preparing"

    # -- one preparation --------------------------------------------------------------------------------------

    def _PreparationOrdered(self, event: Event, moment: Moment) -> None:
        job, named = event["job"], event["preparation"]
        book = self.jobs.get(job)
        if book is None or book.state != "preparing" or job in self._must_end:
            raise Violation("I6", f"is prepared while {book.state if book else 'unknown'}", job)
        if book.open:
            raise Violation("I5", f"a second preparation is open beside {book.dispatch}", job)
        if named in self.dispatches or not named.startswith(f"{moment.epoch}.{moment.seq}."):
            raise Violation("I15", f"preparation {named} was used before, or is not named by its record", job)
        if book.eligible_lease_ms > moment.lease_ms:
            raise Violation("I4", f"is prepared before its rest ends at {book.eligible_lease_ms}", job)
        if book.version in self.withdrawn or self.held_by_operator:
            raise Violation("I12", f"is prepared for {book.version} (withdrawn, or the pool is on hold)", job)
        self._check_worker(event)
        limit = self.policy["clusters"][event["cluster"]]["limit"]
        count = self.open_in(event["cluster"]) + 1
        if count > limit or (event["limit"], event["open"]) != (limit, count):
            raise Violation("I3", f"{count} preparations in {event['cluster']} of {limit}: {event}", job)
        waited = moment.now_ms - book.submitted_ms
        if event["waited_ms"] != waited:
            raise Violation("I11", f"waited {waited} ms, the event says {event['waited_ms']}", job)
        self.dispatches.add(named)
        self.preparations += 1
        book.preparations += 1
        book.dispatch, book.node = named, event["node"]
        book.session, book.cluster = event["session"], event["cluster"]
        book.dispatched_ms, book.dispatched_lease_ms = moment.now_ms, moment.lease_ms

    def _check_worker(self, event: Event) -> None:
        job, cluster = event["job"], event["cluster"]
        node = self.nodes.get(event["node"])
        if node is None or (node.session, node.cluster) != (event["session"], cluster):
            raise Violation("I3", f"is prepared by {event['session']}, which is not a node's session", job)
        entry = self.policy["clusters"].get(cluster)
        if node.kind != "prepare" or entry is None or entry["kind"] != "prepare" or cluster in self.draining_clusters:
            raise Violation("I3", f"is prepared by {node.node} in {cluster}, which takes no preparations", job)
        holds = sum((node.node, node.session) in other.seats for other in self.jobs.values())
        if not node.takes_new or holds >= node.usable:
            raise Violation("I3", f"is prepared by {node.node}, whose {node.usable} slots hold {holds}", job)
        self.check_node(node, job)

    def _prepared_by(self, event: Event) -> JobBook:
        """The book of the job whose open preparation the event names."""
        book = self.jobs.get(event["job"])
        if book is None or book.state != "preparing" or book.dispatch != event["preparation"] or not book.open:
            found = (book.state, book.dispatch) if book is not None else "nothing"
            raise Violation("I10", f"{event['type']} names {event['preparation']}, open is {found}", event["job"])
        return book

    def _PreparationClosed(self, event: Event, moment: Moment) -> None:
        book = self._prepared_by(event)
        reason = event["reason"]
        self._check_reason(book, event, moment)
        if event.get("counts", False) != (reason in ("lost", "rejoined")):
            raise Violation("I4", f"closed as {reason}, which counts: {event.get('counts')}", book.job)
        rest_ms = 0
        if event.get("counts", False):
            book.worker_losses += 1
            self.worker_losses += 1
            rest_ms = self._doubled_ms(book.worker_losses)
            if book.worker_losses >= LOSSES_MAX:
                self._must_end[book.job] = "InputsRefused"
        book.outages = book.outages + 1 if reason == "outage" else 0
        if reason == "outage":
            rest_ms = self._doubled_ms(book.outages)
        elif reason == "unclaimed":
            rest_ms = self.policy["backoff_ms"]
        until_ms = moment.lease_ms + rest_ms if rest_ms else 0
        if event.get("eligible_lease_ms", 0) != until_ms:
            raise Violation("I4", f"rests until {event.get('eligible_lease_ms')}, expected {until_ms}", book.job)
        book.eligible_lease_ms = until_ms
        if reason in ENDS_WITH:
            self._must_end[book.job] = ENDS_WITH[reason]
        self._leave(book)

    def _doubled_ms(self, times: int) -> int:
        doubled_ms: int = self.policy["backoff_ms"] * 2 ** (times - 1)
        most_ms: int = self.policy["backoff_max_ms"]
        return min(doubled_ms, most_ms)

    def _check_reason(self, book: JobBook, event: Event, moment: Moment) -> None:
        reason, node, session = event["reason"], book.node, book.session
        deadline_ms = self.draining_clusters.get(book.cluster, 0)
        is_so = False
        match reason:
            case "lost":
                is_so = (node, session) in self.lost_now
            case "rejoined":
                is_so = any(j["node"] == node and j["session"] != session for j in moment.bodies("NodeJoined"))
            case "revoked":
                self.check_revoked(event, node)
                is_so = True
            case "pre_empted":
                is_so = 0 < deadline_ms <= moment.now_ms
            case "withdrawn":
                is_so = book.version in self.withdrawn
            case "cancel" | "erase" | "expired":
                self._asked(book, reason, moment)
                is_so = True
            case "drained" | "unclaimed" | "outage":
                is_so = self._gave_back(book, reason, moment)
        if not is_so:
            raise Violation("I10", f"closed as {reason}, which is not so", book.job)

    def _gave_back(self, book: JobBook, reason: str, moment: Moment) -> bool:
        """The worker said so, left, or was deaf for a whole lease."""
        if reason == "drained" and any(left["session"] == book.session for left in moment.bodies("NodeLeft")):
            return True
        said = [report["reason"] for report in self._words(book, moment, "PreparationStopped")]
        if reason in said or (reason == "unclaimed" and "killed" in said):
            return True
        beats = any(beat["session"] == book.session for beat in moment.bodies("NodeHeartbeat"))
        if reason != "unclaimed" or not beats:
            return False
        self.deaf_now.discard(book.node)
        lease_ms: int = self.policy["node_lease_ms"]
        return moment.lease_ms - book.dispatched_lease_ms >= lease_ms

    def _words(self, book: JobBook, moment: Moment, kind: str) -> list[dict[str, Any]]:
        """What the worker said of the open preparation in this batch."""
        said = moment.reports.get((book.node, book.session, book.dispatch), [])
        return [report for report in said if report["type"].partition(".")[0] == kind]

    def _InputsPrepared(self, event: Event, moment: Moment) -> None:
        book = self._prepared_by(event)
        if event["manifest"] not in [said["manifest"] for said in self._words(book, moment, "PreparationDone")]:
            raise Violation("I10", f"no word of {book.session} says that {book.dispatch} is done", book.job)
        if self.stored_inputs(book.job, book.dispatch) != event["manifest"]:
            raise Violation("I8", f"no such inputs lie in the store for {book.dispatch}", book.job)
        if event.get("expected_ms", 0) != self.run_ms.get(book.version, 0):
            raise Violation("I11", f"is expected to run {event.get('expected_ms')} ms", book.job)
        book.prepared, book.prepared_for = book.dispatch, self.prepares[book.version]
        book.expected_ms = event.get("expected_ms", 0)
        book.worker_losses = book.outages = book.eligible_lease_ms = 0
        book.state = "queued"
        self.prepared += 1
        self._leave(book)

    def _InputsRefused(self, event: Event, moment: Moment) -> None:
        if event["preparation"]:
            book = self._prepared_by(event)
            if event["kind"] not in [said["kind"] for said in self._words(book, moment, "PreparationRefused")]:
                raise Violation("I10", f"no word of {book.session} refuses the media as {event['kind']}", book.job)
            self._leave(book)
        else:
            book = self._ending(event)
            if event["kind"] != "worker_lost" or self._must_end.get(book.job) != "InputsRefused":
                raise Violation("I10", f"refused after {book.worker_losses} workers were lost", book.job)
        self.media_refused += 1
        self._ended(book, "refused")

    def _InputsDropped(self, event: Event, moment: Moment) -> None:
        book = self._ending(event)
        if book.state != "queued" and book.job not in self.closed_now:
            raise Violation("I6", f"inputs are dropped while {book.state}", book.job)
        if event["preparation"] != book.prepared or book.cancelling:
            raise Violation("I10", f"inputs of {event['preparation']} are dropped, it has {book.prepared!r}", book.job)
        if event["reason"] == "missing":
            if book.job not in self.closed_now or book.failed_now != "inputs_missing" or not book.prepared:
                raise Violation("I10", "inputs are called missing, and no attempt missed them", book.job)
            self._check_goes_again(event, book, moment)
        elif event["reason"] != "withdrawn" or book.prepared_for == self.prepares[book.version]:
            raise Violation("I12", f"inputs that serve {book.version} are dropped as {event['reason']}", book.job)
        book.eligible_lease_ms = event.get("eligible_lease_ms", 0)
        book.state, book.prepared, book.prepared_for = "preparing", "", ""
        self.dropped += 1

    # -- what follows -----------------------------------------------------------------------------------------

    def _JobRequeued(self, event: Event, moment: Moment) -> None:
        book = self.jobs.get(event["job"])
        if book is not None and book.prepared and book.failed_now == "inputs_missing":
            raise Violation("I6", "waits for a slot, and its inputs are missing", book.job)
        super()._JobRequeued(event, moment)

    def _JobDispatched(self, event: Event, moment: Moment) -> None:
        super()._JobDispatched(event, moment)
        book = self.jobs[event["job"]]
        if book.media and book.prepared_for != self.prepares[book.version]:
            raise Violation("I6", f"goes with inputs for {book.prepared_for!r}", book.job)
        if any(self.nodes[name].kind != "run" for name, _ in book.seats):
            raise Violation("I3", f"goes to {book.node}, which is a CPU worker", book.job)

    def _ended(self, book: JobBook, state: str) -> None:
        super()._ended(book, state)
        self._must_end.pop(book.job, None)

    def check_preparing(self, moment: Moment) -> None:
        """What must hold between two records."""
        for job, event in self._must_end.items():
            raise Violation("I2", f"its preparation was closed, and no {event} followed", job)
        for book in self.jobs.values() if moment.decides else ():
            if book.state != "preparing" or not book.open:
                continue
            deadline_ms = self.draining_clusters.get(book.cluster, 0)
            if 0 < deadline_ms <= moment.now_ms:
                raise Violation("S4", f"is prepared in {book.cluster}, whose deadline {deadline_ms} passed", book.job)
            if book.version in self.withdrawn:
                raise Violation("S4", f"is prepared for {book.version}, which was withdrawn", book.job)
