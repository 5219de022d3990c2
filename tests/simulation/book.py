"""The auditor's own books: what each job and node must be, worked out from the events alone, in plain dicts."""

from __future__ import annotations

from tests.simulation.cordon_rules import CordonRules
from tests.simulation.node_rules import Event
from tests.simulation.pages import JobBook, Moment
from tests.simulation.violation import Violation


class Book(CordonRules):
    def read_inputs(self, moment: Moment) -> None:
        self.find_void(moment)
        self._forget(moment)
        self._read_requests(moment)
        self.read_requests_of_nodes(moment)
        for entry in moment.counted:
            body = entry["body"]
            kind = body["type"].partition(".")[0]
            if kind == "NodeReport":
                for report in body["reports"]:
                    named = report["dispatch"] if "dispatch" in report else report["preparation"]
                    key = (body["node"], body["session"], named)
                    moment.reports.setdefault(key, []).append(report)
            elif kind == "NodeHeartbeat":
                for dispatch in body.get("running", ()):
                    moment.running.add((body["node"], body["session"], dispatch))

    def enter(self, event: Event, moment: Moment) -> None:
        self.check_actor(event, moment)
        handler = getattr(self, "_" + event["type"].partition(".")[0], None)
        if handler is not None:
            handler(event, moment)
        self._note_end(event.get("job", ""), moment)

    def close_batch(self, moment: Moment) -> None:
        """What must hold between two records."""
        if self.closed_now:
            job = min(self.closed_now)
            raise Violation("I2", f"{job}'s attempt was closed and the job neither requeued nor ended", job)
        for node, session in self.lost_now:
            for book in self.jobs.values():
                if (node, session) in book.seats:
                    raise Violation("I3", f"{book.job} is still open on {node}, which is lost", book.job)
        self.lost_now.clear()
        if self.deaf_now:
            raise Violation("I16", f"{sorted(self.deaf_now)} were called deaf, and no order was lost for a lease")
        for book in self.jobs.values():
            waits = book.state in ("queued", "preparing")
            if moment.decides and waits and 0 < book.expires_ms <= moment.now_ms:
                raise Violation("I2", f"still waits after its deadline {book.expires_ms}", book.job)
            is_attempt = book.open and book.state != "preparing"
            is_free = is_attempt and not book.started and not book.recall_reason and not book.cancelling
            if moment.decides and self.held_by_operator and is_free:
                raise Violation("S4", "stays staged while the pool is on hold", book.job)
            if moment.decides and is_attempt:
                self._check_drain(book, moment)
                self._check_withdrawn(book)
            for name, session in book.seats if book.dispatch else ():
                held = self.nodes.get(name)
                if held is None or held.session != session:
                    raise Violation("I3", f"{book.job} is open at a session that is gone: {session}", book.job)
        self.check_preparing(moment)
        self.check_access(moment)
        self.check_reserved()
        self.check_cordons(moment)

    def _check_withdrawn(self, book: JobBook) -> None:
        """What is staged of a withdrawn version is called back; what runs is stopped if an operator asked for it."""
        kill = self.withdrawn.get(book.version)
        told = book.kill_reason if book.started else book.recall_reason or book.cancelling
        if kill is not None and not told and not book.cancelling and (kill or not book.started):
            raise Violation("S4", f"goes on with {book.version}, which was withdrawn (kill: {kill})", book.job)

    def _check_drain(self, book: JobBook, moment: Moment) -> None:
        """A draining cluster calls back what is staged; at the deadline it stops what runs."""
        deadline_ms = self.draining_clusters.get(book.cluster)
        if deadline_ms is None or book.kill_reason or book.recall_reason:
            return
        if not book.started or 0 < deadline_ms <= moment.now_ms:
            raise Violation("S4", f"goes on in cluster {book.cluster}, which drains (deadline {deadline_ms})", book.job)
