"""The second book of cordons: who accuses a node, when it may be cordoned, and what a cordoned node may be sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import msgspec

from audit.verify.second_book_nodes import KnownNode
from contract import events as said

ACCUSERS = 3
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

    def __init__(self, nodes: Mapping[str, KnownNode], wrong: Callable[[str, str, str], None]) -> None:
        self._nodes, self._wrong = nodes, wrong
        self._jobs: dict[str, _Tried] = {}
        self._open: Counter[str] = Counter()
        """Open attempts by node."""
        self._successes: Counter[str] = Counter()
        """By node: how often what is held against it was forgotten."""
        self._accusers: dict[str, set[str]] = {}
        self._cordoned: dict[str, str] = {}

    def take(self, event: said.Event) -> None:
        match event:
            case said.JobDispatched():
                self._dispatched(event)
            case said.AttemptFailed():
                self._failed(event)
            case said.AttemptClosed():
                node = self._close(event.job, event.node)
                if event.counts:
                    self._remember(event.job, node, -1)
            case said.JobSucceeded():
                self._succeeded(event.job)
            case said.JobDeadLettered() | said.JobQuarantined() | said.JobCancelled() | said.JobExpired():
                self._jobs.pop(event.job, None)
            case said.NodeCordoned():
                self._cordon(event)
            case said.NodeUncordoned():
                if self._cordoned.pop(event.node, None) is None:
                    self._wrong("I11", f"{event.node} is cordoned no longer, and was not", "")
                self._forget(event.node)
            case _:
                return

    def _dispatched(self, event: said.JobDispatched) -> None:
        nodes = tuple(dict.fromkeys((event.node, *(member.node for member in event.members))))
        for node in nodes:
            reason = self._cordoned.get(node)
            if reason is not None and (event.members or reason == "operator" or self._open[node]):
                self._wrong(
                    "I11", f"sent to {node}, which is cordoned ({reason}) and was not free for a try", event.job
                )
            self._open[node] += 1
        self._jobs.setdefault(event.job, _Tried()).nodes = nodes

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
        counts = node not in self._cordoned or node in tried.failed_on or tried.spared >= AVOIDED_MAX
        if event.counts != counts:
            self._wrong("I4", f"a failure on {node} {'counts' if event.counts else 'does not count'}", event.job)
        tried.spared += not event.counts
        self._remember(event.job, node, -1 if node in self._cordoned else self._successes[node])

    def _remember(self, job: str, node: str, successes: int) -> None:
        tried = self._jobs.get(job)
        if tried is not None:
            others = {name: count for name, count in tried.failed_on.items() if name != node}
            tried.failed_on = dict(list({**others, node: successes}.items())[-AVOIDED_MAX:])

    def _succeeded(self, job: str) -> None:
        tried = self._jobs.pop(job, _Tried())
        for node in tried.nodes:
            self._open[node] -= 1
            if not self._open[node]:
                del self._open[node]
        for node, successes in tried.failed_on.items():
            if node not in tried.nodes and node not in self._cordoned and successes == self._successes[node]:
                self._accusers.setdefault(node, set()).add(job)
        for node in tried.nodes:
            if node not in self._cordoned:
                self._forget(node)

    def _forget(self, node: str) -> None:
        self._successes[node] += 1
        self._accusers.pop(node, None)

    def _cordon(self, event: said.NodeCordoned) -> None:
        if event.reason == "failures":
            accusers = self._accusers.get(event.node, set())
            if len(set(event.jobs)) < ACCUSERS or not accusers.issuperset(event.jobs):
                self._wrong("I11", f"{event.node} is cordoned, and {len(accusers)} jobs accuse it", "")
            there = [name for name, node in self._nodes.items() if node.cluster == event.cluster]
            cordoned = sum(name in self._cordoned for name in there)
            if cordoned >= max(1, len(there) // 4):
                self._wrong("I11", f"{event.node} is cordoned beside {cordoned} of {len(there)} nodes", "")
        self._cordoned[event.node] = event.reason
