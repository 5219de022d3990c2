"""A second, naive implementation of the dispatch policy: at every pick, sort everything (I11, I3).

The policy of the talk: of the jobs that some slot could take now, the one with the highest wait fraction, waited over
SLO, compared as integers and not capped. Written from design section 4.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from tests.simulation.book import Book
from tests.simulation.pages import JobBook, Moment, NodeBook
from tests.simulation.violation import Violation

NO_LIMIT = 1_000_000_000
"""A limit of `none`, which goes for staging too."""


class Picks:
    def __init__(self, book: Book) -> None:
        self.book = book

    def check(self, event: dict[str, Any], moment: Moment) -> None:
        """`event` is a JobDispatched that is about to be entered."""
        self._check_limit(event)
        best = self._best(moment)
        if best is None or best.job != event["job"]:
            found = best.job if best else "nothing"
            raise Violation("I11", f"picked while the naive policy picks {found}", event["job"])
        node = self.book.nodes[event["node"]]
        nearest = min(
            (other for other in self.book.nodes.values() if self._takes(other, best)),
            key=lambda other: self._distance(other, best.version),
        )
        if nearest is not node:
            raise Violation("I11", f"went to {node.node} while {nearest.node} is the better place", event["job"])

    # -- limits -----------------------------------------------------------------------------------------------

    def _staged(self, cluster: str) -> int:
        return sum(1 for job in self.book.jobs.values() if job.cluster == cluster and not job.started)

    def _check_limit(self, event: dict[str, Any]) -> None:
        limits = self.book.policy["clusters"]
        limit = limits[event["cluster"]]["limit"]
        staged = self._staged(event["cluster"]) + 1
        if event["limit"] != limit:
            raise Violation("I3", f"the limit in force is {limit}, the dispatch names {event['limit']}", event["job"])
        if event["staged"] != staged:
            raise Violation("I3", f"{staged} attempts are staged, the dispatch names {event['staged']}", event["job"])
        if staged > limit:
            raise Violation("I3", f"{staged} staged attempts in {event['cluster']}, the limit is {limit}", event["job"])

    # -- order ------------------------------------------------------------------------------------------------

    def _best(self, moment: Moment) -> JobBook | None:
        waiting = [
            job
            for job in self.book.jobs.values()
            if job.state == "queued" and not job.cancelling and job.eligible_lease_ms <= moment.lease_ms
        ]
        able = [job for job in waiting if any(self._takes(node, job) for node in self.book.nodes.values())]
        tiers = self.book.policy["tiers"]

        def better(one: JobBook, other: JobBook) -> bool:
            left = max(0, moment.now_ms - one.submitted_ms) * tiers[other.tier]["slo_ms"]
            right = max(0, moment.now_ms - other.submitted_ms) * tiers[one.tier]["slo_ms"]
            if left != right:
                return left > right
            return one.job < other.job

        best: JobBook | None = None
        for job in able:
            if best is None or better(job, best):
                best = job
        return best

    def _distance(self, node: NodeBook, version: str) -> tuple[int, int, Fraction, str]:
        """A free slot, then the fewest staged a slot; then loaded, cached, cold; the emptiest cluster; the id."""
        warmth = 0 if version in node.loaded else 1 if version in node.cached else 2
        slots = sum(other.slots for other in self.book.nodes.values() if other.cluster == node.cluster)
        held = sum(1 for job in self.book.jobs.values() if job.cluster == node.cluster)
        staged_per_slot = max(0, self._held(node) // node.slots)
        return staged_per_slot, warmth, Fraction(held, slots), node.node

    def _held(self, node: NodeBook) -> int:
        return sum(1 for job in self.book.jobs.values() if job.node == node.node)

    def _takes(self, node: NodeBook, job: JobBook) -> bool:
        """The node could be given this job now."""
        needs = self.book.requirements[job.version]
        fits = (
            node.chipset in needs["chipsets"]
            and (node.chipset == "cpu" or node.gpus >= needs["gpus"])
            and node.memory_mib >= needs["memory_mib"]
        )
        cluster = self.book.policy["clusters"].get(node.cluster)
        if not fits or node.draining or cluster is None or node.cluster in self.book.draining_clusters:
            return False
        if cluster["limit"] == NO_LIMIT:
            return True
        most = node.slots * (1 + cluster["staged_per_slot"])
        return self._held(node) < most and self._staged(node.cluster) < cluster["limit"]
