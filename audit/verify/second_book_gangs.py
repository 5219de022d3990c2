"""The second book of gangs: all ranks or none, one reservation a cluster, kept slots for back-fill alone.

Slots are counted by node and session, so a node that goes takes its count along.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import msgspec

from audit.verify.second_book_nodes import KnownNode
from contract import events as said

NodeSession = tuple[str, str]
"""(node, session)."""
SMOOTHING = 8
"""A new time counts 1 ÷ SMOOTHING of the mean, as in the core."""


class _OpenAttempt(msgspec.Struct):
    sessions: tuple[NodeSession, ...]
    version: str
    cluster: str
    dispatched_ms: int
    to_free: bool
    """Rank 0 was sent to a free slot, so its start tells the fetch time."""
    started_ms: int = -1


class _KeptSlots(msgspec.Struct):
    """A reservation: slots kept for a gang."""

    job: str
    slots: Counter[NodeSession]
    free_ms: int


class GangBook:
    """Told of each event before the other books change; says what is wrong as (invariant, text, job)."""

    def __init__(self, nodes: Mapping[str, KnownNode], wrong: Callable[[str, str, str], None]) -> None:
        self._nodes, self._wrong = nodes, wrong
        self._ranks: dict[str, int] = {}
        self._versions: dict[str, str] = {}
        """Version of each job that has not ended."""
        self._open: dict[str, _OpenAttempt] = {}
        self._taken: Counter[NodeSession] = Counter()
        self._kept: dict[str, _KeptSlots] = {}
        """The reservation of each cluster."""
        self._run_ms: dict[str, int] = {}
        self._fetch_ms: dict[str, int] = {}

    def take(self, event: said.Event, now_ms: int) -> None:
        match event:
            case said.VersionRegistered():
                self._ranks.setdefault(event.version, event.requirements.ranks)
            case said.JobAccepted() | said.JobPreparing() | said.JobRepinned():
                self._versions[event.job] = event.version
            case said.JobDispatched():
                self._dispatched(event, now_ms)
            case said.AttemptStarted():
                self._started(event.job, now_ms)
            case said.JobSucceeded():
                self._succeeded(event.job, now_ms)
            case said.AttemptFailed() | said.AttemptClosed():
                self._close(event.job)
            case said.GangReserved():
                self._reserved(event)
            case said.GangReleased():
                if not self._release(event.job):
                    self._wrong("I6", "slots are released that were not kept", event.job)
            case (
                said.JobDeadLettered()
                | said.JobQuarantined()
                | said.JobCancelled()
                | said.JobExpired()
                | said.InputsRefused()
            ):
                self._versions.pop(event.job, None)
            case _:
                return

    def _dispatched(self, event: said.JobDispatched, now_ms: int) -> None:
        sessions = ((event.node, event.session), *((member.node, member.session) for member in event.members))
        version = self._versions.get(event.job, "")
        ranks = self._ranks.get(version, len(sessions))
        if len(sessions) != ranks:
            self._wrong(
                "I6", f"{len(sessions)} ranks were dispatched, the version has {ranks}: all or nothing", event.job
            )
        self._release(event.job)
        node = self._nodes.get(event.node)
        to_free = node is not None and self._taken[sessions[0]] < node.usable
        for session, count in Counter(sessions).items():
            self._check_slots(event, session, count, now_ms)
        self._taken.update(sessions)
        self._open[event.job] = _OpenAttempt(sessions, version, event.cluster, now_ms, to_free)

    def _check_slots(self, event: said.JobDispatched, session: NodeSession, count: int, now_ms: int) -> None:
        node = self._nodes.get(session[0])
        if node is None or (node.session, node.cluster) != (session[1], event.cluster):
            if event.members:
                self._wrong(
                    "I3", f"a rank goes to session {session[1]}, which no node of {event.cluster} has", event.job
                )
            return
        free = node.usable - self._taken[session]
        if event.members and count > free:
            self._wrong("I3", f"{count} ranks go to {session[0]}, which has {free} slots free", event.job)
        kept = self._kept.get(event.cluster)
        slots = kept.slots[session] if kept is not None else 0
        if kept is None or not slots or count <= free - slots:
            return
        run_ms = self._run_ms.get(self._versions.get(event.job, ""), 0)
        ends_ms = now_ms + self._fetch_ms.get(event.cluster, 0) + run_ms
        if event.members or free < 1 or not run_ms or ends_ms > kept.free_ms:
            self._wrong(
                "I11",
                f"it took a slot of {session[0]} that is kept for gang {kept.job} until {kept.free_ms}, and is expected"
                f" to end at {ends_ms if run_ms else 'nobody knows when'}",
                event.job,
            )

    def _reserved(self, event: said.GangReserved) -> None:
        if event.cluster in self._kept:
            self._wrong("I11", f"{event.cluster} keeps slots for {self._kept[event.cluster].job} already", event.job)
        ranks = self._ranks.get(self._versions.get(event.job, ""), len(event.nodes))
        if len(event.nodes) != ranks:
            self._wrong("I6", f"{len(event.nodes)} slots are kept for {ranks} ranks: all or nothing", event.job)
        slots: Counter[NodeSession] = Counter()
        for name, count in Counter(event.nodes).items():
            node = self._nodes.get(name)
            if node is None or node.cluster != event.cluster or node.usable < count:
                self._wrong("I3", f"{count} slots of {name} are kept, {event.cluster} has no such", event.job)
            else:
                slots[name, node.session] = count
        self._kept[event.cluster] = _KeptSlots(event.job, slots, event.free_ms)

    def _release(self, job: str) -> bool:
        found = [cluster for cluster, kept in self._kept.items() if kept.job == job] if self._kept else []
        for cluster in found:
            del self._kept[cluster]
        return bool(found)

    def _started(self, job: str, now_ms: int) -> None:
        attempt = self._open.get(job)
        if attempt is not None:
            attempt.started_ms = now_ms
            if attempt.to_free:
                self._fetch_ms[attempt.cluster] = _smoothed(
                    self._fetch_ms, attempt.cluster, now_ms - attempt.dispatched_ms
                )

    def _succeeded(self, job: str, now_ms: int) -> None:
        attempt = self._close(job)
        if attempt is not None and attempt.started_ms >= 0:
            self._run_ms[attempt.version] = _smoothed(self._run_ms, attempt.version, now_ms - attempt.started_ms)
        self._versions.pop(job, None)

    def _close(self, job: str) -> _OpenAttempt | None:
        attempt = self._open.pop(job, None)
        if attempt is not None:
            for session in attempt.sessions:
                self._taken[session] -= 1
                if not self._taken[session]:
                    del self._taken[session]
        return attempt


def _smoothed(known: Mapping[str, int], name: str, seen_ms: int) -> int:
    seen_ms = max(1, seen_ms)
    before_ms = known.get(name, 0)
    return max(1, before_ms + (seen_ms - before_ms) // SMOOTHING) if before_ms else seen_ms
