"""The second book of cordons: who accuses a node, when it may be cordoned, and what a cordoned node may be sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

import msgspec

from audit.verify.second_book_nodes import NodeBook
from contract import events as said

ACCUSERS = 3
LONGEST_REST = 32
"""In leases."""
AVOIDED_MAX = 4
"""Failures of one job that cordoned nodes may take upon themselves, and nodes that a job remembers to have failed
on."""


class _Tried(msgspec.Struct):
    """What is known of a job that has not ended."""

    nodes: tuple[str, ...] = ()
    """Nodes of the open attempt; the node of rank 0 comes first."""
    failed_on: dict[str, int] = {}
    """By node: how many jobs had succeeded there when this job failed there; -1: it accuses nobody. The last four."""
    spared: int = 0


class CordonBook:
    """Told of each event before the other books change; says what is wrong as (invariant, text, job)."""

    def __init__(self, nodes: NodeBook, wrong: Callable[[str, str, str], None]) -> None:
        self._nodes, self._wrong = nodes, wrong
        self.cordoned: dict[str, str] = {}
        """Why each cordoned node is cordoned."""
        self.node_lease_ms = 0
        """By the policy in force."""
        self._jobs: dict[str, _Tried] = {}
        self._open: Counter[str] = Counter()
        """Open attempts by node."""
        self._successes: Counter[str] = Counter()
        """By node: how often what is held against it was forgotten."""
        self._accusers: dict[str, set[str]] = {}
        self._tries: dict[str, int] = {}
        """By cordoned node: jobs that failed there since."""
        self._rests_until_ms: dict[str, int] = {}
        """By cordoned node: the lease time before which no job may try it."""
        self._proven: set[str] = set()
        """Nodes cordoned for failures, on which a job has succeeded in this batch."""
        self._takes: dict[type, Callable[[Any], None]] = {
            said.JobDispatched: self._dispatched,
            said.AttemptFailed: self._failed,
            said.AttemptClosed: self._closed,
            said.JobSucceeded: self._succeeded,
            said.JobDeadLettered: self._ended,
            said.JobQuarantined: self._ended,
            said.JobCancelled: self._ended,
            said.JobExpired: self._ended,
            said.NodeCordoned: self._cordon,
            said.NodeUncordoned: self._uncordon,
        }

    def take(self, event: said.Event) -> None:
        take = self._takes.get(type(event))
        if take is not None:
            take(event)

    def failed_on(self, job: str) -> Collection[str]:
        """The last four nodes on which the job failed."""
        tried = self._jobs.get(job)
        return tried.failed_on if tried is not None else ()

    def check_end(self) -> None:
        """Between two batches: whatever had to be cordoned no longer, is not."""
        for node in sorted(self._proven):
            self._wrong("I11", f"a job succeeded on {node}, and {node} is still cordoned", "")
        self._proven.clear()

    def _dispatched(self, event: said.JobDispatched) -> None:
        nodes = tuple(dict.fromkeys((event.node, *(member.node for member in event.members))))
        for node in nodes:
            reason = self.cordoned.get(node)
            if reason is not None:
                self._check_try(event, node, reason)
            self._open[node] += 1
        self._jobs.setdefault(event.job, _Tried()).nodes = nodes

    def check_preparation(self, event: said.PreparationOrdered) -> None:
        """A cordoned worker may be tried like any node. That it has nothing open, the book of preparations sees."""
        reason = self.cordoned.get(event.node)
        if reason is not None:
            self._check_try(event, event.node, reason)

    def _check_try(self, event: said.JobDispatched | said.PreparationOrdered, node: str, reason: str) -> None:
        if getattr(event, "members", ()) or reason == "operator" or self._open[node]:
            self._wrong("I11", f"sent to {node}, which is cordoned ({reason}) and was not free for a try", event.job)
        rests_ms = self._rests_until_ms[node] - self._nodes.lease_ms
        if rests_ms > 0:
            self._wrong("I11", f"sent to {node}, which is cordoned and rests for another {rests_ms} ms", event.job)

    def _closed(self, event: said.AttemptClosed) -> None:
        node = self._close(event.job, event.node)
        if event.counts:
            self._tried(node)
            self._remember(event.job, node, -1)

    def _ended(self, event: said.JobCancelled) -> None:
        self._jobs.pop(event.job, None)

    def _close(self, job: str, node: str) -> str:
        """The attempt is over. Returns the node that said so."""
        tried = self._jobs.get(job)
        nodes = tried.nodes if tried is not None else ()
        if tried is not None:
            tried.nodes = ()
        for name in nodes:
            self._open[name] -= 1
            if not self._open[name]:
                del self._open[name]
        return node or (nodes[0] if nodes else "")

    def _failed(self, event: said.AttemptFailed) -> None:
        node = self._close(event.job, event.node)
        tried = self._jobs.get(event.job)
        if tried is None:
            return
        counts = node not in self.cordoned or node in tried.failed_on or tried.spared >= AVOIDED_MAX
        if event.counts != counts:
            self._wrong("I4", f"a failure on {node} {'counts' if event.counts else 'does not count'}", event.job)
        tried.spared += not event.counts
        self._tried(node)
        self._remember(event.job, node, -1 if node in self.cordoned else self._successes[node])

    def _tried(self, node: str) -> None:
        """A job failed on the node. A cordoned one rests, twice as long each time."""
        if node in self.cordoned:
            self._tries[node] += 1
            self._rest(node)

    def _rest(self, node: str) -> None:
        rest_ms = self.node_lease_ms * min(2 ** self._tries[node], LONGEST_REST)
        self._rests_until_ms[node] = self._nodes.lease_ms + rest_ms

    def _remember(self, job: str, node: str, successes: int) -> None:
        tried = self._jobs.get(job)
        if tried is not None:
            others = {name: count for name, count in tried.failed_on.items() if name != node}
            tried.failed_on = dict(list({**others, node: successes}.items())[-AVOIDED_MAX:])

    def _succeeded(self, event: said.JobSucceeded) -> None:
        tried = self._jobs.pop(event.job, _Tried())
        for node in tried.nodes:
            self._open[node] -= 1
            if not self._open[node]:
                del self._open[node]
        for node, successes in tried.failed_on.items():
            if node not in tried.nodes and node not in self.cordoned and successes == self._successes[node]:
                self._accusers.setdefault(node, set()).add(event.job)
        for node in tried.nodes:
            reason = self.cordoned.get(node)
            if reason is None:
                self._forget(node)
            elif reason == "failures":
                self._proven.add(node)

    def _forget(self, node: str) -> None:
        self._successes[node] += 1
        self._accusers.pop(node, None)

    def _cordon(self, event: said.NodeCordoned) -> None:
        node = event.node
        if event.reason == "failures":
            accusers = self._accusers.get(node, set())
            if len(set(event.jobs)) < ACCUSERS or not accusers.issuperset(event.jobs):
                self._wrong("I11", f"{node} is cordoned, and {len(accusers)} jobs accuse it", "")
            there = [name for name, known in self._nodes.nodes.items() if known.cluster == event.cluster]
            cordoned = sum(name in self.cordoned for name in there)
            if cordoned >= max(1, len(there) // 4):
                self._wrong("I11", f"{node} is cordoned beside {cordoned} of {len(there)} nodes", "")
        self.cordoned[node] = event.reason
        self._tries.setdefault(node, 0)
        self._rest(node)

    def _uncordon(self, event: said.NodeUncordoned) -> None:
        node = event.node
        if self.cordoned.pop(node, None) is None:
            self._wrong("I11", f"{node} is cordoned no longer, and was not", "")
        if event.reason == "success" and node not in self._proven:
            self._wrong("I11", f"{node} is cordoned no longer, and no job succeeded there", "")
        self._proven.discard(node)
        self._tries.pop(node, None)
        self._rests_until_ms.pop(node, None)
        self._forget(node)
