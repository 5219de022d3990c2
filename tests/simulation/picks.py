"""Each dispatch is what the naive policy picks from the books (I11), to the best place, within the limit (I3).

Who goes is worked out by `naive`; where to, here: a free slot first, then the version loaded, cached, cold.
"""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

from tests.simulation.book import Book
from tests.simulation.naive import Naive, Row
from tests.simulation.pages import JobBook, Moment, NodeBook
from tests.simulation.violation import Violation

NO_LIMIT = 1_000_000_000
"""A limit of `none`, which goes for staging too."""


ENDS = ("JobCancelled", "JobExpired", "JobDeadLettered", "JobQuarantined")


class Picks:
    def __init__(self, book: Book) -> None:
        self.book = book
        self.naive = Naive()

    def check(self, event: dict[str, Any], moment: Moment) -> None:
        """`event` is a JobDispatched that is about to be entered."""
        self._check_limit(event)
        waiting = self._waiting(moment)
        nodes = {kind: [node for node in self.book.nodes.values() if self._takes(node, kind)] for kind in self._kinds()}
        able = [row for row in waiting if nodes[row.kind]]
        turn = self.naive.turn(able, moment.now_ms)
        goes = turn and self._goes(turn, able, nodes[turn.kind], moment.now_ms)
        if turn is None or goes is None or goes.job != event["job"]:
            found = goes.job if goes else "nothing"
            raise Violation("I11", f"picked while the naive policy picks {found}", event["job"])
        reason = self.naive.reason
        if self.naive.promise is not None and event["reason"] != reason:
            raise Violation("I11", f"picked as {event['reason']}, expected {reason}", event["job"])
        passed = turn.job if turn is not goes else ""
        if event.get("passed", "") != passed:
            raise Violation("I11", f"passed over {event.get('passed', 'nobody')}, expected {passed}", event["job"])
        node = self.book.nodes[event["node"]]
        nearest = min(nodes[goes.kind], key=lambda other: self._distance(other, goes.version))
        if nearest is not node:
            raise Violation("I11", f"went to {node.node} while {nearest.node} is the better place", event["job"])
        others = [row for row in able if row is not turn and self._fits(node, row.kind)]
        behind = turn if passed else self.naive.turn(others, moment.now_ms)
        is_first = turn.submitted_ms == min(
            row.submitted_ms for row in able if (row.tier, row.kind) == (turn.tier, turn.kind)
        )
        may_differ = self.naive.promise is not None and not is_first  # then `promise` looks at places of the whole line
        if not may_differ and event["next_job"] != (behind.job if behind else ""):
            raise Violation("I11", f"next is {event['next_job']}, expected {behind and behind.job}", event["job"])
        self.naive.reason = reason
        self.naive.dispatched(goes, waiting, moment.now_ms, lambda kind: self._fits(node, kind))

    def entering(self, event: dict[str, Any], moment: Moment) -> None:
        """Any event that is about to be entered."""
        kind = event["type"].partition(".")[0]
        book = self.book.jobs.get(event.get("job", ""))
        if kind in ("PolicyAdopted", "PolicyReverted"):
            queued = [self._row(job) for job in self.book.jobs.values() if job.state == "queued"]
            self.naive.adopted(event["policy"], queued)
        elif kind in ENDS and book is not None and book.state == "queued" and book.job not in self.book.closed_now:
            self.naive.ended(self._row(book), [row for row in self._waiting(moment) if row.job != book.job])

    def entered(self, event: dict[str, Any]) -> None:
        """An event that was entered."""
        kind = event["type"].partition(".")[0]
        if kind in ("JobAccepted", "JobRequeued"):
            self.naive.entered(self._row(self.book.jobs[event["job"]]), kind == "JobAccepted")

    def _goes(self, turn: Row, able: list[Row], nodes: list[NodeBook], now_ms: int) -> Row:
        free = [node for node in nodes if self._held(node) < node.slots]
        return self.naive.goes(
            turn, able, now_ms, lambda row: any(row.version in node.loaded for node in free), bool(free)
        )

    # -- limits -----------------------------------------------------------------------------------------------

    def _staged(self, cluster: str) -> int:
        return sum(1 for job in self.book.jobs.values() if job.cluster == cluster and not job.started)

    def _check_limit(self, event: dict[str, Any]) -> None:
        limit = self.book.limits[event["cluster"]]
        staged = self._staged(event["cluster"]) + 1
        if event["limit"] != limit:
            raise Violation("I3", f"the limit in force is {limit}, the dispatch names {event['limit']}", event["job"])
        if event["staged"] != staged:
            raise Violation("I3", f"{staged} attempts are staged, the dispatch names {event['staged']}", event["job"])
        if staged > limit:
            raise Violation("I3", f"{staged} staged attempts in {event['cluster']}, the limit is {limit}", event["job"])

    # -- order ------------------------------------------------------------------------------------------------

    def _kinds(self) -> set[str]:
        return {self._kind(version) for version in self.book.requirements}

    def _kind(self, version: str) -> str:
        needs = self.book.requirements[version]
        return json.dumps([needs["chipsets"], needs["gpus"], needs["memory_mib"], needs.get("ranks", 1)])

    def _waiting(self, moment: Moment) -> list[Row]:
        return [
            self._row(job)
            for job in self.book.jobs.values()
            if job.state == "queued" and not job.cancelling and job.eligible_lease_ms <= moment.lease_ms
        ]

    def _row(self, job: JobBook) -> Row:
        kind = self._kind(job.version)
        return Row(job.job, job.tenant, job.tier, kind, job.version, job.submitted_ms, job.expected_ms, job.attempts)

    def _distance(self, node: NodeBook, version: str) -> tuple[int, int, Fraction, str]:
        """A free slot, then the fewest staged a slot; then loaded, cached, cold; the emptiest cluster; the id."""
        warmth = 0 if version in node.loaded else 1 if version in node.cached else 2
        slots = sum(other.slots for other in self.book.nodes.values() if other.cluster == node.cluster)
        held = sum(1 for job in self.book.jobs.values() if job.cluster == node.cluster)
        staged_per_slot = max(0, self._held(node) // node.slots)
        return staged_per_slot, warmth, Fraction(held, slots), node.node

    def _held(self, node: NodeBook) -> int:
        return sum(1 for job in self.book.jobs.values() if job.node == node.node)

    def _fits(self, node: NodeBook, kind: str) -> bool:
        chipsets, gpus, memory_mib, _ = json.loads(kind)
        return (
            node.chipset in chipsets and (node.chipset == "cpu" or node.gpus >= gpus) and node.memory_mib >= memory_mib
        )

    def _takes(self, node: NodeBook, kind: str) -> bool:
        """The node could be given a job of this class now."""
        cluster = self.book.policy["clusters"].get(node.cluster)
        if not self._fits(node, kind) or node.draining or cluster is None:
            return False
        if node.cluster in self.book.draining_clusters:
            return False
        if cluster["limit"] == NO_LIMIT and not cluster["adaptive"]:
            return True
        most = node.slots * (1 + cluster["staged_per_slot"])
        return self._held(node) < most and self._staged(node.cluster) < self.book.limits[node.cluster]
