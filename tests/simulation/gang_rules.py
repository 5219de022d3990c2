"""What the events of gangs presuppose (I3, I6): all ranks or none, in one cluster, and which slots are kept for a
gang."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.node_rules import Event
from tests.simulation.pages import Moment
from tests.simulation.preparing_rules import PreparingRules
from tests.simulation.violation import Violation

PORTS = 1_000


@dataclass(frozen=True)
class Kept:
    job: str
    seats: tuple[tuple[str, str], ...]
    """The node and session of each kept slot."""
    free_ms: int


class GangRules(PreparingRules):
    def __init__(self, stored: Callable[[str, str], str | None]) -> None:
        super().__init__(stored)
        self.reserved: dict[str, Kept] = {}
        """The slots kept in each cluster."""
        self.cordoned: dict[str, str] = {}
        """Why each cordoned node is cordoned."""
        self.gangs = self.reservations = 0
        """How many gangs were dispatched, and for how many gangs slots were kept."""

    def held(self, node: str) -> int:
        """How many slots of the node ranks take or wait for."""
        return sum(name == node for book in self.jobs.values() if book.dispatch for name, _ in book.seats)

    def kept(self, node: str) -> int:
        alive = self.nodes[node].session
        return sum(seat == (node, alive) for kept in self.reserved.values() for seat in kept.seats)

    def ranks(self, version: str) -> int:
        found: int = self.requirements[version].get("ranks", 1)
        return found

    def _JobDispatched(self, event: Event, moment: Moment) -> None:
        node = self.nodes.get(event["node"])
        to_free = node is not None and self.held(node.node) < node.usable
        super()._JobDispatched(event, moment)
        book = self.jobs[event["job"]]
        book.to_free = to_free
        self.reserved = {name: kept for name, kept in self.reserved.items() if kept.job != book.job}
        if len(book.seats) != self.ranks(book.version):
            raise Violation("I6", f"{len(book.seats)} ranks of {self.ranks(book.version)} were dispatched", book.job)
        if not book.members:
            return
        self.gangs += 1
        for name, session in book.seats:
            there = self.nodes.get(name)
            if there is None or (there.session, there.cluster) != (session, book.cluster):
                raise Violation("I3", f"a rank goes to {session}, which is no session of {book.cluster}", book.job)
            if not there.takes_new or self.held(name) > there.usable:
                raise Violation("I3", f"a rank goes to {name}, which has no slot free for it", book.job)
        self._check_rendezvous(event)

    def _check_rendezvous(self, event: Event) -> None:
        book = self.jobs[event["job"]]
        if len({name for name, _ in book.seats}) == 1:
            if book.rendezvous:
                raise Violation("I3", f"a rendezvous for ranks on one node: {book.rendezvous}", book.job)
            return
        if not self.policy["gang_network"]:
            raise Violation("S4", f"a gang lies on {len({*book.seats})} nodes, and has no network", book.job)
        host, _, first = self.nodes[book.node].address.rpartition(":")
        if book.rendezvous not in {f"{host}:{int(first) + port}" for port in range(PORTS)}:
            raise Violation("I3", f"rank 0 on {book.node} is not reached at {book.rendezvous!r}", book.job)
        if any(other is not book and other.rendezvous == book.rendezvous for other in self.jobs.values()):
            raise Violation("I3", f"two gangs meet at {book.rendezvous}", book.job)

    def _AttemptStarted(self, event: Event, moment: Moment) -> None:
        super()._AttemptStarted(event, moment)
        book = self.jobs[event["job"]]
        if book.to_free:
            fetched_ms = moment.now_ms - book.dispatched_ms
            self.fetch_ms[book.cluster] = self._smoothed(self.fetch_ms.get(book.cluster, 0), fetched_ms)

    def _GangReserved(self, event: Event, moment: Moment) -> None:
        book, cluster = self.jobs.get(event["job"]), event["cluster"]
        if book is None or book.state != "queued":
            raise Violation("I6", "slots are kept for a job that does not wait", event["job"])
        needs = self.requirements[book.version]
        taken = [self.requirements[self.jobs[kept.job].version] for kept in self.reserved.values()]
        if cluster in self.reserved or needs in taken:
            raise Violation("I6", f"a second reservation in {cluster}, or of the class", book.job)
        if len(event["nodes"]) != self.ranks(book.version) or len(event["nodes"]) < 2:
            raise Violation(
                "I6", f"{len(event['nodes'])} slots are kept for {self.ranks(book.version)} ranks", book.job
            )
        counts: Counter[str] = Counter(event["nodes"])
        for name, count in counts.items():
            node = self.nodes.get(name)
            if node is None or node.cluster != cluster or not node.takes_new or node.usable < count:
                raise Violation("I3", f"{count} slots of {name} are kept, which has them not to give", book.job)
        self.reservations += 1
        seats = tuple((name, self.nodes[name].session) for name in event["nodes"])
        self.reserved[cluster] = Kept(book.job, seats, event["free_ms"])

    def _GangReleased(self, event: Event, moment: Moment) -> None:
        found = [name for name, kept in self.reserved.items() if kept.job == event["job"]]
        if not found:
            raise Violation("I6", "no slots were kept for the gang that is released", event["job"])
        if event["reason"] not in self._reasons(found[0]):
            raise Violation("I6", f"released as {event['reason']}, which is not so", event["job"])
        del self.reserved[found[0]]

    def _reasons(self, cluster: str) -> set[str]:
        """Why slots can no longer be kept in the cluster; empty: they can."""
        kept = self.reserved[cluster]
        reasons = set()
        if self.jobs[kept.job].state != "queued":
            reasons.add("ended")
        if self.jobs[kept.job].version in self.withdrawn:
            reasons.add("withdrawn")
        if cluster in self.draining_clusters:
            reasons.add("draining")
        if cluster not in self.policy["clusters"]:
            reasons.add("policy")
        if len({*kept.seats}) > 1 and not self.policy["gang_network"]:
            reasons.add("policy")
        for name, session in kept.seats:
            node = self.nodes.get(name)
            count = kept.seats.count((name, session))
            is_there = node is not None and node.session == session and node.takes_new and node.usable >= count
            if not is_there or name in self.cordoned:
                reasons.add("node_gone")
        return reasons

    def check_reserved(self) -> None:
        for cluster, kept in self.reserved.items():
            if self._reasons(cluster):
                raise Violation("I6", f"{cluster} still keeps slots: {self._reasons(cluster)}", kept.job)
