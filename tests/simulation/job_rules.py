"""What each event of a job presupposes, and what it changes in the auditor's books (I2, I4 to I6, I8, I10, I15).

Written from the design, not from `scheduling`: each method, named after its event, first says what must have been true.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulation.access_rules import AccessRules
from tests.simulation.node_rules import Event
from tests.simulation.pages import TERMINAL, JobBook, Moment
from tests.simulation.violation import Violation

LAST_MS = 253_402_300_799_999
"""The end of the year 9999: a deadline by the broker's clock is not later."""
COUNTING_REASONS = ("lost", "rejoined")


class JobRules(AccessRules):
    def __init__(self, stored: Callable[[str, str], str | None]) -> None:
        super().__init__()
        self.jobs: dict[str, JobBook] = {}
        self.refused: set[str] = set()
        self.ended_ms: dict[str, int] = {}
        """When each job ended, or was refused."""
        self.may_live_again: set[str] = set()
        """Ids whose jobs ended so long ago that no copy of their submission may come any more."""
        self.second_lives = 0
        self.dispatches: set[str] = set()
        self.closed_now: set[str] = set()
        self.requests: dict[str, set[tuple[str, str]]] = {}
        """By job: the cancels and erasures that inputs asked for so far, each with the tenant that asked."""
        self.run_ms: dict[str, int] = {}
        """The smoothed run time of each version, in ms."""
        self.fetch_ms: dict[str, int] = {}
        """The smoothed time from dispatch to start on a free slot, in ms, by cluster."""
        self._stored = stored

    @staticmethod
    def _smoothed(known_ms: int, seen_ms: int) -> int:
        """A new value counts for an eighth."""
        seen_ms = max(1, seen_ms)
        return max(1, known_ms + (seen_ms - known_ms) // 8) if known_ms else seen_ms

    def _open(self, event: Event, invariant: str = "I10") -> JobBook:
        """The book of the job whose open attempt the event names."""
        book = self.jobs.get(event["job"])
        if book is None:
            raise Violation("I2", f"{event['type']} of a job that was never accepted", event["job"])
        if book.state in TERMINAL:
            raise Violation("I2", f"{event['type']} after the job ended ({book.state})", book.job)
        if book.state == "preparing" or book.dispatch != event["dispatch"]:
            found = book.dispatch or "none"
            raise Violation(
                invariant, f"{event['type']} names {event['dispatch']}, the open attempt is {found}", book.job
            )
        return book

    def _reported(self, book: JobBook, moment: Moment, *kinds: str, by: str = "") -> dict[str, Any]:
        """The report in this batch that the event rests on. The report must come from the session that got the order:
        that of rank 0, or `by` another node of the gang."""
        node, session = self._speaker(book, by)
        for report in moment.reports.get((node, session, book.dispatch), []):
            if report["type"].partition(".")[0] in kinds:
                return report
        raise Violation(
            "I10", f"no {' or '.join(kinds)} of {book.dispatch} by {session} was read in this batch", book.job
        )

    def _speaker(self, book: JobBook, by: str) -> tuple[str, str]:
        """The node that an event names, else the node of rank 0, with its session."""
        for node, session in book.seats:
            if node == (by or book.node):
                return node, session
        raise Violation("I10", f"node {by} has no part in {book.dispatch}", book.job)

    def _shut(self, book: JobBook) -> None:
        self._leave(book)
        book.started = False
        book.kill_reason = book.recall_reason = ""
        self.closed_now.add(book.job)

    def _leave(self, book: JobBook) -> None:
        book.dispatch = book.node = book.session = book.cluster = book.rendezvous = ""
        book.members = []

    def _ended(self, book: JobBook, state: str) -> None:
        if book.open:
            raise Violation("I2", f"the job ended ({state}) while attempt {book.dispatch} is open", book.job)
        book.state = state
        self.closed_now.discard(book.job)

    def _JobAccepted(self, event: Event, moment: Moment) -> None:
        job = event["job"]
        before = self.jobs.get(job)
        self._begin_life(job, moment, "accepted a second time")
        entry = next((entry for entry in moment.inputs if entry["offset"] == event["offset"]), None)
        if entry is None or entry["body"].get("job") != job:
            raise Violation("I2", "accepted without a submission in this batch", job)
        asked = entry["body"]
        for name in ("tenant", "tier", "digest"):
            if asked[name] != event[name]:
                raise Violation("I2", f"{name} of the accepted job is not the submission's", job)
        submitted_ms = asked["submitted_ms"] if asked["via"] == "kafka" else entry["at_ms"]
        if asked["via"] == "kafka":
            age_ms = moment.now_ms - submitted_ms
            if age_ms > self.policy["submission_age_max_ms"]:
                raise Violation("I2", f"a copy {age_ms} ms old was accepted", job)
        submitted_ms = min(submitted_ms, moment.now_ms)
        if event["submitted_ms"] != submitted_ms:
            raise Violation("I11", f"submit time {event['submitted_ms']}, expected {submitted_ms}", job)
        within_ms = asked["expires_in_ms"]
        expires_ms = min(entry["at_ms"] + within_ms, LAST_MS) if within_ms else asked["expires_ms"]
        if event["expires_ms"] != expires_ms:
            raise Violation("I2", f"deadline {event['expires_ms']}, expected {expires_ms} by the broker's clock", job)
        model, _, at = asked["model"].partition("@")
        version = at if at.startswith("sha256:") else self.aliases.get((model, at or "live"))
        if event["version"] != version:
            raise Violation("I12", f"pinned to {event['version']}, its reference names {version}", job)
        if version in self.withdrawn:
            raise Violation("I12", f"accepted for {version}, which was withdrawn", job)
        alias = "" if at.startswith("sha256:") else at or "live"
        if event.get("alias", "") != alias:
            raise Violation("I12", f"named alias {alias!r}, the event says {event.get('alias', '')!r}", job)
        self.jobs[job] = JobBook(
            job,
            event["tenant"],
            event["tier"],
            event["version"],
            submitted_ms,
            event["expires_ms"],
            event.get("expected_ms", 0),
            alias=alias,
            model=model,
            media=asked.get("media", 0),
            copies=[*(before.copies if before is not None else ()), event["offset"]],
        )

    def _JobRepinned(self, event: Event, moment: Moment) -> None:
        book = self.jobs.get(event["job"])
        waits = book is not None and book.state in ("queued", "preparing") and not book.open
        if book is None or not waits or book.cancelling or book.eligible_lease_ms > moment.lease_ms:
            raise Violation("I12", f"pinned anew while {book.state if book else 'unknown'}", event["job"])
        if book.version not in self.withdrawn or not book.alias:
            raise Violation("I12", "pinned anew, its version was not withdrawn or it named no alias", book.job)
        pointed = self.aliases.get((book.model, book.alias))
        if pointed is None or event["version"] != pointed or pointed in self.withdrawn:
            raise Violation("I12", f"pinned anew to {event['version']}, its alias has {pointed}", book.job)
        book.version, book.expected_ms = pointed, self.run_ms.get(pointed, 0)

    def _JobRefused(self, event: Event, moment: Moment) -> None:
        self._begin_life(event["job"], moment, "refused though known")
        self.jobs.pop(event["job"], None)
        self.refused.add(event["job"])

    def _begin_life(self, job: str, moment: Moment, wrong: str) -> None:
        """An id has one life, and another only after it was forgotten. What was asked of the old life is not asked of
        the new one."""
        if job not in self.jobs and job not in self.refused:
            return
        if job not in self.may_live_again:
            raise Violation("I2", wrong, job)
        self.second_lives += 1
        self.refused.discard(job)
        self.may_live_again.discard(job)
        del self.ended_ms[job]
        self.requests.pop(job, None)
        self._read_requests(moment, job)

    def _read_requests(self, moment: Moment, job: str = "") -> None:
        """The cancels and erasures among the inputs of the batch: those of this job, or of any."""
        for entry in moment.counted:
            body = entry["body"]
            kind = body["type"].partition(".")[0]
            if kind in ("CancelRequested", "EraseRequested") and job in ("", body["job"]):
                asked = "cancel" if kind == "CancelRequested" else "erase"
                self.requests.setdefault(body["job"], set()).add((asked, body.get("tenant", "")))

    def _forget(self, moment: Moment) -> None:
        """Notes which ids are forgotten, by the policy that was in force until this batch."""
        if self.policy:
            last_ms = moment.now_ms - self.policy["submission_age_max_ms"]
            self.may_live_again |= {job for job, ended_ms in self.ended_ms.items() if ended_ms <= last_ms}

    def _note_end(self, job: str, moment: Moment) -> None:
        book = self.jobs.get(job)
        if job not in self.ended_ms and (job in self.refused or (book is not None and book.state in TERMINAL)):
            self.ended_ms[job] = moment.now_ms

    def _JobDuplicated(self, event: Event, moment: Moment) -> None:
        book = self.jobs.get(event["job"])
        if book is None and event["job"] not in self.refused:
            raise Violation("I2", "called a duplicate though never seen", event["job"])
        if book is not None:
            book.copies.append(event["offset"])

    def _JobDispatched(self, event: Event, moment: Moment) -> None:
        job = event["job"]
        book = self.jobs.get(job)
        if book is None or book.state != "queued" or job in self.closed_now or book.cancelling:
            raise Violation("I6", f"dispatched while {book.state if book else 'unknown'}", job)
        if book.open:
            raise Violation("I5", "a second attempt is open", job)
        if event["attempt"] != book.attempts + 1:
            raise Violation("I5", f"attempt {event['attempt']} follows attempt {book.attempts}", job)
        if event["dispatch"] in self.dispatches:
            raise Violation("I15", f"dispatch {event['dispatch']} was used before", job)
        if not event["dispatch"].startswith(f"{moment.epoch}.{moment.seq}."):
            raise Violation("I15", f"dispatch {event['dispatch']} is not named by its record", job)
        if book.version in self.withdrawn:
            raise Violation("I12", f"dispatched with {book.version}, which was withdrawn", job)
        if self.held_by_operator:
            raise Violation("I6", "dispatched while the pool is on hold", job)
        book.dispatched_lease_ms = moment.lease_ms
        book.failed_now = ""
        node = self.nodes.get(event["node"])
        if node is None or (node.session, node.cluster) != (event["session"], event["cluster"]):
            raise Violation("I3", f"dispatched to {event['session']}, which is not a node's session", job)
        holds = sum((node.node, node.session) in other.seats for other in self.jobs.values() if other.dispatch)
        if holds >= node.holds:
            raise Violation("I3", f"{node.node} holds {holds} attempts and said that it holds {node.holds}", job)
        for name in {event["node"], *(member["node"] for member in event.get("members", ()))}:
            self.check_node(self.nodes[name], job)
        self.dispatches.add(event["dispatch"])
        book.attempts += 1
        book.counted_now = False
        book.state = "open"
        book.dispatch, book.node = event["dispatch"], event["node"]
        book.session, book.cluster = event["session"], event["cluster"]
        book.members = [(member["node"], member["session"]) for member in event.get("members", ())]
        book.rendezvous = event.get("rendezvous", "")
        book.dispatched_ms = moment.now_ms

    def _AttemptStarted(self, event: Event, moment: Moment) -> None:
        book = self._open(event)
        if (book.node, book.session, book.dispatch) not in moment.running:
            self._reported(book, moment, "Started", "Succeeded", "Failed")
        if book.started:
            raise Violation("I10", "started twice", book.job)
        book.started, book.started_ms = True, moment.now_ms
        for name in {name for name, _ in book.seats}:
            node = self.nodes[name]
            node.loaded = (book.version,) if node.slots == 1 else (*node.loaded, book.version)
            node.cached = (*node.cached, book.version)

    def _RecallOrdered(self, event: Event, moment: Moment) -> None:
        book = self._open(event)
        if book.started:
            raise Violation("I10", "recalled after it started", book.job)
        book.recall_reason = event["reason"]

    def _KillOrdered(self, event: Event, moment: Moment) -> None:
        book = self._open(event)
        if not book.started:
            raise Violation("I10", "killed before it started", book.job)
        if event["reason"] == "withdrawn" and not self.withdrawn.get(book.version, False):
            raise Violation("I12", "killed for a withdrawal that lets it finish", book.job)
        book.kill_reason = event["reason"]

    def is_cancelling(self, job: str) -> bool:
        return job in self.jobs and bool(self.jobs[job].cancelling)

    def _JobCancelling(self, event: Event, moment: Moment) -> None:
        book = self.jobs.get(event["job"])
        if book is None or not book.open:
            raise Violation("I2", "cancelling a job without an open attempt", event["job"])
        self._asked(book, event["reason"], moment)
        book.cancelling = event["reason"]

    def _asked(self, book: JobBook, reason: str, moment: Moment) -> None:
        """Raises a Violation unless someone who may asked for the end, or the deadline passed."""
        if reason == "expired":
            if not book.expires_ms or moment.now_ms < book.expires_ms:
                raise Violation("I2", f"expired at {moment.now_ms}, its deadline is {book.expires_ms}", book.job)
            return
        if reason == "version_withdrawn":
            if book.version not in self.withdrawn or book.alias:
                raise Violation("I12", f"ended by {reason}: it named {book.alias or book.version}", book.job)
            return
        wanted = {(reason, ""), (reason, book.tenant)}
        if not wanted & self.requests.get(book.job, set()):
            raise Violation("I2", f"ended by {reason}, which nobody entitled asked for", book.job)

    def _AttemptFailed(self, event: Event, moment: Moment) -> None:
        book = self._open(event)
        report = self._reported(book, moment, "Failed", by=event.get("node", ""))
        if book.members and book.kill_reason:
            raise Violation("I4", "a rank of a gang that is being killed counts as a failure", book.job)
        if report["kind"] != event["kind"]:
            raise Violation("I10", f"failed as {event['kind']}, the report says {report['kind']}", book.job)
        book.failed_now = event["kind"]
        if event.get("counts", True):
            book.last_failure = event["kind"]
            self._fail(book)
        else:
            book.spared += 1
        self._shut(book)

    def _fail(self, book: JobBook) -> None:
        book.failures += 1
        book.counted_now = True
        if book.failures > max(book.cap, self.policy["failures_max"]):
            raise Violation("I4", f"{book.failures} failures, the cap was {book.cap}", book.job)

    def _AttemptClosed(self, event: Event, moment: Moment) -> None:
        book = self._open(event)
        reason, by = event["reason"], event.get("node", "")
        node, session = self._speaker(book, by)
        if event["counts"] != (book.started and reason in COUNTING_REASONS):
            verb = "counts" if event["counts"] else "does not count"
            raise Violation("I4", f"closed as {reason} (started: {book.started}), which {verb}", book.job)
        if reason == "lost":
            if (node, session) not in self.lost_now:
                raise Violation("I16", f"closed as lost, but {session} is not lost", book.job)
        elif reason == "revoked":
            self.check_revoked(event, node)
        elif reason == "rejoined":
            joined = moment.bodies("NodeJoined")
            if not any(j["node"] == node and j["session"] != session for j in joined):
                raise Violation("I16", f"closed as rejoined, but {node} did not join again", book.job)
        elif reason in ("killed", "recalled", "drained", "unclaimed", "pre_empted"):
            left = any(leave["session"] == session for leave in moment.bodies("NodeLeft"))
            forgotten = reason == "unclaimed" and any(
                beat["session"] == session for beat in moment.bodies("NodeHeartbeat")
            )
            silent_ms = moment.lease_ms - book.dispatched_lease_ms
            if reason == "unclaimed" and not book.started and silent_ms >= self.policy["node_lease_ms"]:
                self.deaf_now.discard(node)
            if not left and not forgotten:
                kinds = ("Stopped", "Failed") if book.members and book.kill_reason else ("Stopped",)
                self._reported(book, moment, *kinds, by=by)
                if by and book.kill_reason:
                    raise Violation(
                        "S4", f"{by} ended a gang that runs until rank 0's node says that it stopped", book.job
                    )
        elif reason == "overtaken":
            self._reported(book, moment, "Succeeded")
            if not book.cancelling:
                raise Violation("I10", "a result was overtaken by no cancel", book.job)
        else:
            raise Violation("I10", f"closed for an unknown reason {reason}", book.job)
        if event["counts"]:
            if reason == "lost":
                book.lost_nodes.append(node)
            book.last_failure = reason
            self._fail(book)
        self._shut(book)

    def _JobRequeued(self, event: Event, moment: Moment) -> None:
        job = event["job"]
        book = self.jobs.get(job)
        if book is None or job not in self.closed_now:
            raise Violation("I2", "requeued without an attempt that was closed", job)
        self._check_goes_again(event, book, moment)
        book.state = "queued"

    def _check_goes_again(self, event: Event, book: JobBook, moment: Moment) -> None:
        """The job whose attempt was closed may have another one after its backoff."""
        if book.cancelling:
            raise Violation("I2", f"goes again though it is being ended ({book.cancelling})", book.job)
        if book.failures >= self.policy["failures_max"]:
            raise Violation("I4", f"goes again after {book.failures} failures", book.job)
        earliest_ms = moment.lease_ms + self._backoff_ms(book) if book.counted_now else 0
        if event.get("eligible_lease_ms", 0) < earliest_ms:
            raise Violation("I4", f"{event['type']} does not wait for its backoff until {earliest_ms}", book.job)
        book.cap = self.policy["failures_max"]
        book.eligible_lease_ms = event.get("eligible_lease_ms", 0)
        self.closed_now.discard(book.job)

    def _backoff_ms(self, book: JobBook) -> int:
        doubled_ms: int = self.policy["backoff_ms"] * 2 ** (book.failures - 1)
        most_ms: int = self.policy["backoff_max_ms"]
        return min(doubled_ms, most_ms)

    def _JobSucceeded(self, event: Event, moment: Moment) -> None:
        book = self._open(event, "I8")
        report = self._reported(book, moment, "Succeeded")
        if not book.started:
            raise Violation("I8", "succeeded without having started", book.job)
        if report["manifest"] != event["manifest"]:
            raise Violation("I8", "the accepted manifest is not the reported one", book.job)
        if self._stored(book.job, book.dispatch) != event["manifest"]:
            raise Violation("I8", f"no such manifest lies in the store for {book.dispatch}", book.job)
        self.run_ms[book.version] = self._smoothed(self.run_ms.get(book.version, 0), moment.now_ms - book.started_ms)
        self._leave(book)
        self._ended(book, "succeeded")

    def _ending(self, event: Event) -> JobBook:
        book = self.jobs.get(event["job"])
        if book is None:
            raise Violation("I2", f"{event['type']} of a job that was never accepted", event["job"])
        if book.state in TERMINAL:
            raise Violation("I2", f"{event['type']} after the job ended ({book.state})", book.job)
        return book

    def _JobDeadLettered(self, event: Event, moment: Moment) -> None:
        book = self._ending(event)
        final = book.last_failure in ("bad_inputs", "bad_values", "payload_missing")
        if not final and book.failures < self.policy["failures_max"]:
            raise Violation("I4", f"dead-lettered after {book.failures} failures", book.job)
        if event["failures"] != book.failures:
            raise Violation("I4", f"{event['failures']} failures named, {book.failures} happened", book.job)
        self._ended(book, "dead_lettered")

    def _JobQuarantined(self, event: Event, moment: Moment) -> None:
        book = self._ending(event)
        if len(set(event["nodes"])) < 2 or not set(event["nodes"]) <= set(book.lost_nodes):
            raise Violation("I4", f"quarantined for {event['nodes']}, lost under it: {book.lost_nodes}", book.job)
        self._ended(book, "quarantined")

    def _JobCancelled(self, event: Event, moment: Moment) -> None:
        book = self._ending(event)
        self._asked(book, event["reason"], moment)
        self._ended(book, "cancelled")

    def _JobExpired(self, event: Event, moment: Moment) -> None:
        book = self._ending(event)
        self._asked(book, "expired", moment)
        self._ended(book, "expired")

    def _ErasureOrdered(self, event: Event, moment: Moment) -> None:
        if not any(asked == "erase" for asked, _ in self.requests.get(event["job"], ())):
            raise Violation("I13", "an erasure nobody asked for", event["job"])

    def _JobErased(self, event: Event, moment: Moment) -> None:
        if not any(done["job"] == event["job"] for done in moment.bodies("ErasureCompleted")):
            raise Violation("I13", "called erased, and nobody said so in this batch", event["job"])
