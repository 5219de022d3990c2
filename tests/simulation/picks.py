"""Each dispatch is what the naive policy picks from the books (I11), to the best place, within the limit (I3).

Who goes is worked out by `naive`; where to, here: a free slot first, then the version loaded, cached, cold.
"""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

from tests.simulation.book import Book
from tests.simulation.naive import Naive, Row
from tests.simulation.naive_gangs import NaiveGangs
from tests.simulation.naive_preparing import NaivePreparing
from tests.simulation.naive_switches import NaiveSwitches
from tests.simulation.pages import JobBook, Moment, NodeBook
from tests.simulation.violation import Violation

NO_LIMIT = 1_000_000_000
"""A limit of `none`, which lifts the limit on staging too."""


ENDS = ("JobCancelled", "JobExpired", "JobDeadLettered", "JobQuarantined")


class Picks:
    def __init__(self, book: Book) -> None:
        self.book = book
        self.naive = Naive()
        self.back_fills = 0
        """How many jobs went to a slot that was kept for a gang."""
        self.gangs = NaiveGangs(book, self._fits, self._takes_work)
        self.switches = NaiveSwitches()
        self.preparing = NaivePreparing(book)
        self.preparing.slos = self.naive.slos
        self._taking: dict[tuple[str, str], bool] = {}
        """By node and class: whether the node takes such a job, as found for the event that is being judged."""

    def check(self, event: dict[str, Any], moment: Moment) -> None:
        """Judges a JobDispatched before it is entered."""
        self._taking.clear()
        self._check_limit(event)
        waiting = self._waiting(moment)
        ready = self.gangs.ready(waiting)
        if ready or event.get("reason") == "reserved":
            if event["job"] != ready or event["reason"] != "reserved":
                raise Violation("I11", f"went before {ready or 'its turn'}, which slots were kept for", event["job"])
            goes, node, reason = self._row(self.book.jobs[ready]), self.book.nodes[event["node"]], "reserved"
            others: list[Row] = []
            turn = goes
        else:
            turn, goes, node, others = self._pick(event, waiting, moment)
            reason = self.naive.reason
        self._check_reason(event, turn, goes, reason)
        behind = turn if turn is not goes else self.naive.turn(others, moment.now_ms)
        alike = [row for row in others if (row.tier, row.kind) == (turn.tier, turn.kind)]
        is_first = all(turn.submitted_ms <= row.submitted_ms for row in alike)
        may_differ = self.naive.promise is not None and not is_first  # then `promise` looks at places of the whole line
        if not may_differ and event["next_job"] != (behind.job if behind else ""):
            raise Violation("I11", f"next is {event['next_job']}, expected {behind and behind.job}", event["job"])
        self.naive.reason = reason
        self.naive.dispatched(
            goes, turn if turn is not goes else None, waiting, moment.now_ms, lambda kind: self._fits(node, kind)
        )
        self.switches.dispatched(goes.kind, goes.version in node.loaded, moment.now_ms)

    def check_reserved(self, event: dict[str, Any], moment: Moment) -> None:
        """Judges a GangReserved before it is entered: it must be the gang's turn, and the gang must fit nowhere."""
        self._taking.clear()
        waiting = self._waiting(moment)
        ready = self.gangs.ready(waiting)
        if ready:
            raise Violation("I11", f"slots are kept while {ready} could go", event["job"])
        turn = self.naive.turn(list(self._able(waiting, moment)), moment.now_ms)
        if turn is None or turn.job != event["job"]:
            raise Violation("I11", f"slots are kept for it in the turn of {turn and turn.job}", event["job"])
        if self.gangs.goes(turn):
            raise Violation("I11", "slots are kept for a gang that fits", event["job"])

    def _room(self, row: Row, moment: Moment) -> list[NodeBook]:
        """The nodes with room for the job; none on which it failed, if others could run it."""
        if row.version in self.book.withdrawn:
            return []
        nodes = [node for node in self.book.nodes.values() if self._takes(node, row.kind, moment)]
        book = self.book.jobs[row.job]
        if self.book.ranks(row.version) > 1 or not self.book.avoids(book):
            return nodes
        return [node for node in nodes if node.node not in book.failed_on]

    def _stands_aside(self, row: Row, moment: Moment) -> bool:
        if row.version in self.book.withdrawn:
            return True
        is_room = any(self._takes(node, row.kind, moment) for node in self.book.nodes.values())
        return is_room and not self._room(row, moment)

    def _able(self, waiting: list[Row], moment: Moment) -> dict[Row, list[NodeBook]]:
        """By job: the nodes with room for the job, of every job that could go now."""
        able = {}
        for row in waiting:
            nodes = self._room(row, moment)
            if self.book.ranks(row.version) > 1:
                nodes = self.gangs.on_offer(row, nodes)
            if nodes:
                able[row] = nodes
        return able

    def _pick(self, event: dict[str, Any], waiting: list[Row], moment: Moment) -> tuple[Row, Row, NodeBook, list[Row]]:
        """Whose turn it is, who goes, to which node, and who else could have gone to that node."""
        now_ms, able = moment.now_ms, self._able(waiting, moment)
        rows, back_fill = list(able), False
        turn = self.naive.turn(rows, now_ms)
        if turn is None:
            rows, turn = self._back_fill([row for row in waiting if not self._stands_aside(row, moment)], now_ms)
            back_fill = True
        is_gang = turn is not None and self.book.ranks(turn.version) > 1
        goes = turn if back_fill or is_gang else turn and self._goes(turn, rows, able[turn], now_ms)
        if turn is None or goes is None or goes.job != event["job"]:
            found = goes.job if goes else "nothing"
            raise Violation("I11", f"picked while the naive policy picks {found}", event["job"])
        reason = self.naive.reason
        node = self.book.nodes[event["node"]]
        self.back_fills += self.gangs.has_kept_room(node, goes.kind)
        if is_gang:
            self._check_gang(event, turn)
        else:
            self._check_place(event, goes, node, [] if back_fill else able[turn], now_ms, passed=turn is not goes)
        others = [row for row in rows if row is not turn and self._fits(node, row.kind)]
        self.naive.reason = reason
        return turn, goes, node, others

    def _back_fill(self, waiting: list[Row], now_ms: int) -> tuple[list[Row], Row | None]:
        """Whose turn it is at the slots that are kept and free, and whose else it could be. A class whose first job
        would not end in time is out."""
        nodes = self.book.nodes.values()
        rows = [row for row in waiting if self.book.ranks(row.version) == 1]
        rows = [row for row in rows if any(self.gangs.has_kept_room(node, row.kind) for node in nodes)]
        while (turn := self.naive.turn(rows, now_ms)) is not None:
            if self.gangs.back_fill(turn, now_ms) is not None:
                return rows, turn
            rows = [row for row in rows if row.kind != turn.kind]
        return [], None

    def _check_gang(self, event: dict[str, Any], row: Row) -> None:
        """Whether the gang fits in its cluster beside what is kept there."""
        if not self.gangs.holds(row, event["cluster"]):
            raise Violation("I11", f"went to {event['cluster']}, where it does not fit", event["job"])
        if not self.gangs.goes(row):
            raise Violation("I11", "went where it failed, and slots could be kept elsewhere", event["job"])
        seats = [event["node"], *(member["node"] for member in event["members"])]
        for name in set(seats):
            node = self.book.nodes[name]
            free = node.usable - self.book.held(name) - self.book.kept(name)
            if seats.count(name) > free:
                raise Violation("I11", f"a gang took slots of {name} that are kept for another", event["job"])

    def _check_place(
        self, event: dict[str, Any], row: Row, node: NodeBook, nodes: list[NodeBook], now_ms: int, *, passed: bool
    ) -> None:
        """Where the job goes. `nodes` are those with room; none: only kept slots are free. A kept slot of a sound node
        is better than a try of a cordoned node. With `passed` the job goes where its version is loaded."""
        nearest = min(nodes, key=lambda other: self._distance(other, row.version), default=None)
        if nearest is None or (self._level(nearest) and not passed):
            nearest = self.gangs.back_fill(row, now_ms) or nearest
        if nearest is not node:
            found = nearest.node if nearest is not None else "none"
            raise Violation("I11", f"went to {node.node} while {found} is the better place", event["job"])

    def _check_reason(self, event: dict[str, Any], turn: Row, goes: Row, reason: str) -> None:
        if self.naive.promise is not None and event["reason"] != reason:
            raise Violation("I11", f"picked as {event['reason']}, expected {reason}", event["job"])
        passed = turn.job if turn is not goes else ""
        if event.get("passed", "") != passed:
            raise Violation("I11", f"passed over {event.get('passed', 'nobody')}, expected {passed}", event["job"])

    def entering(self, event: dict[str, Any], moment: Moment) -> None:
        """Looks at an event before it is entered."""
        kind = event["type"].partition(".")[0]
        book = self.book.jobs.get(event.get("job", ""))
        if kind in ("PolicyAdopted", "PolicyReverted"):
            queued = [self._row(job) for job in self.book.jobs.values() if job.state == "queued"]
            self.naive.adopted(event["policy"], queued)
        elif (
            kind in (*ENDS, "JobRepinned", "InputsDropped")
            and book is not None
            and book.state == "queued"
            and book.job not in self.book.closed_now
        ):
            self.naive.ended(self._row(book), [row for row in self._waiting(moment) if row.job != book.job])
        elif kind == "AttemptStarted" and book is not None and book.node in self.book.nodes:
            self.switches.started(book.job, book.version in self.book.nodes[book.node].loaded, moment.now_ms)
        elif kind == "JobSucceeded" and book is not None:
            self.switches.succeeded(book.job, book.version, moment.now_ms)

    def entered(self, event: dict[str, Any]) -> None:
        """Looks at an event after it was entered."""
        kind = event["type"].partition(".")[0]
        if kind in ("JobAccepted", "JobRequeued", "JobRepinned", "InputsPrepared"):
            book = self.book.jobs[event["job"]]
            if book.state != "queued":  # it was pinned anew before its media were prepared
                return
            self.naive.entered(self._row(book), kind != "JobRequeued" and not book.attempts)

    def _goes(self, turn: Row, able: list[Row], nodes: list[NodeBook], now_ms: int) -> Row:
        """Look-ahead, on the slots that could start a job soonest: free slots, else those with the fewest staged."""
        if self.naive.promise is not None and self.naive.reason == "overdue":
            return turn
        least = min(self._level(node) for node in nodes)
        if least and not self.switches.load_ms:
            return turn
        loaded = {version for node in nodes if self._level(node) == least for version in node.loaded}
        if turn.version in loaded or not loaded:
            return turn
        clusters = {node.cluster for node in self.book.nodes.values() if self._fits(node, turn.kind)}
        slots = sum(node.usable for node in self.book.nodes.values() if node.cluster in clusters)
        percent = self.naive.policy["switch_percent"]
        if self.switches.is_recent(turn.kind, slots, percent, now_ms):
            return self.naive.goes_of_class(turn, able, now_ms, loaded)
        return turn if least else self.naive.goes_of_line(turn, able, now_ms, loaded)

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
        return Row(
            job.job,
            job.tenant,
            job.tier,
            kind,
            job.version,
            job.submitted_ms,
            job.expected_ms,
            job.attempts,
            bool(job.failed_on),
        )

    def _distance(self, node: NodeBook, version: str) -> tuple[int, int, Fraction, str]:
        """The order of nodes: a free slot first, then one to be tried, then the fewest staged for each slot; then
        loaded, cached, cold; then the emptiest cluster; then the id."""
        warmth = 0 if version in node.loaded else 1 if version in node.cached else 2
        slots = sum(other.usable for other in self.book.nodes.values() if other.cluster == node.cluster)
        held = sum(1 for job in self.book.jobs.values() if job.cluster == node.cluster)
        return self._level(node), warmth, Fraction(held, slots), node.node

    def _level(self, node: NodeBook) -> int:
        """0: a slot is free. 1: a job may try the node, which is cordoned. More: attempts are staged there already."""
        if node.node in self.book.cordoned:
            return 1
        staged_per_slot = max(0, self._held(node) // node.usable)
        return 1 + staged_per_slot if staged_per_slot else 0

    def _held(self, node: NodeBook) -> int:
        return self.book.held(node.node)

    def _fits(self, node: NodeBook, kind: str) -> bool:
        chipsets, gpus, memory_mib, _ = json.loads(kind)
        return (
            node.kind == "run"
            and node.chipset in chipsets
            and (node.chipset == "cpu" or node.gpus >= gpus)
            and node.memory_mib >= memory_mib
        )

    def _takes(self, node: NodeBook, kind: str, moment: Moment) -> bool:
        """Whether the node could be given a job of this class now."""
        known = self._taking.get((node.node, kind))
        if known is None:
            known = self._taking[node.node, kind] = self._looks_taking(node, kind, moment)
        return known

    def _looks_taking(self, node: NodeBook, kind: str, moment: Moment) -> bool:
        if not self._fits(node, kind) or not node.takes_new or not self._takes_work(node.cluster):
            return False
        if node.node in self.book.cordoned:
            is_gang = json.loads(kind)[3] > 1
            return not is_gang and node.usable > 0 and self.book.may_be_tried(node.node, moment.lease_ms)
        cluster = self.book.policy["clusters"][node.cluster]
        held, kept = self._held(node), self.book.kept(node.node)
        if kept or held < node.usable:
            return held + kept < node.usable
        is_endless = cluster["limit"] == NO_LIMIT and not cluster["adaptive"]
        holds_less = is_endless or held < node.usable * (1 + cluster["staged_per_slot"])
        attempts = sum((node.node, node.session) in job.seats for job in self.book.jobs.values() if job.dispatch)
        return (
            node.usable > 0
            and holds_less
            and attempts < node.holds
            and self._staged(node.cluster) < self.book.behind[node.cluster]
        )

    def _takes_work(self, name: str) -> bool:
        is_there = name in self.book.policy["clusters"] and name not in self.book.draining_clusters
        return is_there and self._staged(name) < self.book.limits[name]
