"""A second, naive implementation of who is prepared next and where: at every order, sort everything (I11).

Written from design section 5 and docs/decisions/0044, with fractions and lists that are made anew at each order.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from tests.simulation.book import Book
from tests.simulation.pages import JobBook, Moment, NodeBook
from tests.simulation.violation import Violation

TURN = 32
"""One order of so many belongs to the job that is overdue the longest."""


class NaivePreparing:
    def __init__(self, book: Book) -> None:
        self.book = book
        self.slos: dict[str, int] = {}
        self.orders = self.overdue = 0
        """How many preparations were ordered, and how many of these were the turn of an overdue job."""
        self._starts: dict[tuple[str, str], Fraction] = {}
        """By tier and tenant: the earliest virtual time at which the tenant's next job goes."""
        self._clocks: dict[str, Fraction] = {}
        self._since = 0

    def check(self, event: dict[str, Any], moment: Moment) -> None:
        """Judges a PreparationOrdered before it is entered."""
        waiting = [
            job
            for job in self.book.jobs.values()
            if job.state == "preparing" and not job.open and job.eligible_lease_ms <= moment.lease_ms
        ]
        able = [job for job in waiting if job.version not in self.book.withdrawn]
        overdue = self._most_overdue(able, moment.now_ms)
        turn = overdue if overdue is not None and self._since >= TURN - 1 else self._turn(able, moment.now_ms)
        if turn is None or turn.job != event["job"]:
            raise Violation("I11", f"is prepared in the turn of {turn and turn.job}", event["job"])
        self.orders += 1
        self.overdue += self._since >= TURN - 1 and overdue is not None
        self._since = 0 if turn is overdue else self._since + 1
        self._check_place(event, moment)
        if not turn.preparations:
            self._charge(turn, waiting)

    def _turn(self, able: Sequence[JobBook], now_ms: int) -> JobBook | None:
        """The tier whose oldest job has waited the largest part of its SLO; of that tier, the tenant whose turn it
        is."""
        oldest: dict[str, JobBook] = {}
        for job in sorted(able, key=self._place):
            oldest.setdefault(job.tier, job)
        if not oldest:
            return None
        tier = min(oldest.values(), key=lambda j: (-Fraction(now_ms - j.submitted_ms, self.slos[j.tier]), j.job)).tier
        return min((job for job in able if job.tier == tier), key=lambda job: (self._start(job), *self._place(job)))

    def _most_overdue(self, able: Sequence[JobBook], now_ms: int) -> JobBook | None:
        most = self.book.policy["promise_max"]
        due = [(job.submitted_ms + most * self.slos[job.tier], job.job, job) for job in able]
        return min((entry for entry in due if entry[0] <= now_ms), default=(0, "", None))[2]

    def _place(self, job: JobBook) -> tuple[int, str]:
        return job.submitted_ms, job.job

    def _start(self, job: JobBook) -> Fraction:
        clock = self._clocks.get(job.tier, Fraction(0))
        return max(clock, self._starts.get((job.tier, job.tenant), Fraction(0)))

    def _charge(self, job: JobBook, waiting: Sequence[JobBook]) -> None:
        policy = self.book.policy
        alike = sum((other.tier, other.tenant) == (job.tier, job.tenant) for other in waiting)
        picks = 1 + policy["tenant_burst_penalty"] * (alike > policy["tenant_burst"])
        start = self._start(job)
        self._clocks[job.tier] = start
        weight = policy["tenant_weights"].get(job.tenant, 1)
        self._starts[job.tier, job.tenant] = start + max(1, picks * 720_720 // weight)

    def _check_place(self, event: dict[str, Any], moment: Moment) -> None:
        nodes = [node for node in self.book.nodes.values() if self._has_room(node, moment)]
        best = min(nodes, key=self._distance, default=None)
        if best is None or best.node != event["node"]:
            found = best.node if best is not None else "none"
            raise Violation("I11", f"is prepared at {event['node']} while {found} is the better place", event["job"])

    def _has_room(self, node: NodeBook, moment: Moment) -> bool:
        entry = self.book.policy["clusters"].get(node.cluster)
        if node.kind != "prepare" or entry is None or node.cluster in self.book.draining_clusters:
            return False
        if not node.takes_new or self.book.open_in(node.cluster) >= entry["limit"]:
            return False
        if node.node in self.book.cordoned:
            return node.usable > 0 and self.book.may_be_tried(node.node, moment.lease_ms)
        return self.book.held(node.node) < node.usable

    def _distance(self, node: NodeBook) -> tuple[bool, Fraction, str]:
        """A sound worker first, then the emptiest cluster, then the name."""
        slots = sum(other.usable for other in self.book.nodes.values() if other.cluster == node.cluster)
        return node.node in self.book.cordoned, Fraction(self.book.open_in(node.cluster), slots), node.node
