"""Which nodes are suspected and cordoned, worked out from the events alone (design section 4, decision 0027)."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.gang_rules import GangRules
from tests.simulation.node_rules import Event
from tests.simulation.pages import JobBook, Moment
from tests.simulation.violation import Violation

ACCUSERS = 3
AVOIDED = 4
RESTS = 32
"""The longest rest of a cordoned node, in leases."""


class CordonRules(GangRules):
    def __init__(self, stored: Callable[[str, str], str | None]) -> None:
        super().__init__(stored)
        self.rests_until_ms: dict[str, int] = {}
        """By cordoned node: the lease time from which a job may try it."""
        self.cordons = 0
        self._tries: dict[str, int] = {}
        self._accusers: dict[str, set[str]] = {}
        self._place = 0
        """A number that grows with every event of an attempt's end."""
        self._cleared: dict[str, int] = {}
        """By node: the place of the last success there."""
        self._asked_to_cordon: set[str] = set()
        self._asked_to_uncordon: set[str] = set()
        self._succeeded_there: set[str] = set()
        """Nodes cordoned for failures, on which a job has just succeeded."""
        self._is_needed = False
        """A cordon was lifted in this batch because a gang needs the node."""

    def avoids(self, book: JobBook) -> bool:
        """Whether another node could run the job than those on which it failed."""
        if not book.failed_on:
            return False
        return any(
            self.fits(node, book.version)
            and node.usable
            and not node.draining
            and node.node not in self.cordoned
            and node.node not in book.failed_on
            and node.cluster in self.policy["clusters"]
            and node.cluster not in self.draining_clusters
            for node in self.nodes.values()
        )

    def may_be_tried(self, node: str, lease_ms: int) -> bool:
        return self.cordoned[node] == "failures" and not self.held(node) and self.rests_until_ms[node] <= lease_ms

    def _JobDispatched(self, event: Event, moment: Moment) -> None:
        book = self.jobs.get(event["job"])
        seats = [event["node"], *(member["node"] for member in event.get("members", ()))]
        tried = [name for name in seats if name in self.cordoned]
        if tried and (len(seats) > 1 or not self.may_be_tried(tried[0], moment.lease_ms)):
            raise Violation("S4", f"sent to {tried}, which is cordoned and may not be tried now", event["job"])
        if book is not None and len(seats) == 1 and event["node"] in book.failed_on and self.avoids(book):
            raise Violation("S4", f"sent to {event['node']}, where it failed, and others could run it", event["job"])
        super()._JobDispatched(event, moment)

    def _AttemptFailed(self, event: Event, moment: Moment) -> None:
        book = self.jobs[event["job"]]
        node = event.get("node", "") or book.node
        expected = node not in self.cordoned or node in book.failed_on or book.spared >= AVOIDED
        if event.get("counts", True) != expected:
            verb = "does not count" if expected else "counts"
            raise Violation("I4", f"a failure on {node} {verb} (cordoned: {sorted(self.cordoned)})", book.job)
        super()._AttemptFailed(event, moment)
        self._place += 1
        if node in self.cordoned:
            self._tries[node] += 1
            self._rest(node, moment)
            book.blames.pop(node, None)
        elif event.get("counts", True):
            book.blames[node] = self._place
        self._note_failure(book, node)

    def _note_failure(self, book: JobBook, node: str) -> None:
        book.failed_on = [*(name for name in book.failed_on if name != node), node]
        for name in book.failed_on[:-AVOIDED]:
            book.blames.pop(name, None)
        book.failed_on = book.failed_on[-AVOIDED:]

    def _AttemptClosed(self, event: Event, moment: Moment) -> None:
        book = self.jobs[event["job"]]
        node = event.get("node", "") or book.node
        super()._AttemptClosed(event, moment)
        if event["counts"]:
            if node in self.cordoned:
                self._tries[node] += 1
                self._rest(node, moment)
            book.blames.pop(node, None)
            self._note_failure(book, node)

    def _rest(self, node: str, moment: Moment) -> None:
        rest_ms = self.policy["node_lease_ms"] * min(2 ** self._tries[node], RESTS)
        self.rests_until_ms[node] = moment.lease_ms + rest_ms

    def _JobSucceeded(self, event: Event, moment: Moment) -> None:
        book = self.jobs[event["job"]]
        there = {name for name, _ in book.seats}
        super()._JobSucceeded(event, moment)
        self._place += 1
        for node, place in book.blames.items():
            if node not in there and node not in self.cordoned and place > self._cleared.get(node, 0):
                self._accusers.setdefault(node, set()).add(book.job)
        for node in there:
            self._cleared[node] = self._place
            self._accusers.pop(node, None)
            if self.cordoned.get(node) == "failures":
                self._succeeded_there.add(node)

    def _may_cordon(self, cluster: str) -> bool:
        nodes = [node.node for node in self.nodes.values() if node.cluster == cluster]
        return sum(name in self.cordoned for name in nodes) < max(1, len(nodes) // 4)

    def _NodeCordoned(self, event: Event, moment: Moment) -> None:
        node, reason = event["node"], event["reason"]
        if reason == "operator":
            if node not in self._asked_to_cordon:
                raise Violation("S4", f"{node} is cordoned by an operator who did not ask for it")
        elif len(self._accusers.get(node, ())) < ACCUSERS or set(event["jobs"]) - self._accusers[node]:
            raise Violation("S4", f"{node} is cordoned, and {self._accusers.get(node)} accuse it")
        elif node in self.cordoned or not self._may_cordon(self.nodes[node].cluster):
            raise Violation("S4", f"{node} is cordoned beside {sorted(self.cordoned)}: too many of its cluster")
        self.cordons += 1
        self.cordoned[node] = reason
        self._tries.setdefault(node, 0)
        self._rest(node, moment)

    def _NodeUncordoned(self, event: Event, moment: Moment) -> None:
        node, reason = event["node"], event["reason"]
        why = {"operator": self._asked_to_uncordon, "success": self._succeeded_there, "needed": self.cordoned}[reason]
        if node not in self.cordoned or node not in why:
            raise Violation("S4", f"{node} is cordoned no longer ({reason}), for no reason")
        self._succeeded_there.discard(node)
        self._is_needed |= reason == "needed"
        del self.cordoned[node]
        self._place += 1
        self._cleared[node] = self._place
        self._accusers.pop(node, None)
        self._tries.pop(node, None)

    def read_requests_of_nodes(self, moment: Moment) -> None:
        self._asked_to_cordon = {body["node"] for body in moment.bodies("NodeCordonRequested")}
        self._asked_to_uncordon = {body["node"] for body in moment.bodies("NodeUncordonRequested")}

    def check_cordons(self, moment: Moment) -> None:
        """Between two records: nothing that had to be cordoned or lifted was forgotten."""
        if self._succeeded_there:
            raise Violation("S4", f"{sorted(self._succeeded_there)} are still cordoned, and a job succeeded there")
        was_needed, self._is_needed = self._is_needed, False
        if was_needed:
            return  # in its place another node may be cordoned: by the next record
        for name, accusers in sorted(self._accusers.items()):
            node = self.nodes.get(name)
            is_due = node is not None and len(accusers) >= ACCUSERS and name not in self.cordoned
            if moment.decides and is_due and node is not None and self._may_cordon(node.cluster):
                raise Violation("S4", f"{name} is accused by {sorted(accusers)} and is not cordoned")
