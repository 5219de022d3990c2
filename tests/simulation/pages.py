"""The pages of the auditor's books: what it keeps of a job, a node, and the batch it is entering."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

TERMINAL = ("succeeded", "dead_lettered", "quarantined", "cancelled", "expired", "refused")


@dataclass(slots=True)
class JobBook:
    job: str
    tenant: str
    tier: str
    version: str
    submitted_ms: int
    expires_ms: int
    expected_ms: int = 0
    state: str = "queued"
    attempts: int = 0
    failures: int = 0
    counted_now: bool = False
    """Its last attempt ended in a way that counts as a failure."""
    dispatch: str = ""
    node: str = ""
    session: str = ""
    cluster: str = ""
    members: list[tuple[str, str]] = field(default_factory=list)
    """Node and session of ranks 1, 2…"""
    rendezvous: str = ""
    started: bool = False
    started_ms: int = 0
    dispatched_ms: int = 0
    to_free: bool = False
    """A slot was free for it when it was dispatched."""
    kill_reason: str = ""
    recall_reason: str = ""
    cancelling: str = ""
    eligible_lease_ms: int = 0
    last_failure: str = ""
    lost_nodes: list[str] = field(default_factory=list)
    copies: list[int] = field(default_factory=list)

    @property
    def open(self) -> bool:
        return bool(self.dispatch)

    @property
    def seats(self) -> list[tuple[str, str]]:
        """Node and session of each rank of the open attempt."""
        return [(self.node, self.session), *self.members] if self.dispatch else []


@dataclass(slots=True)
class NodeBook:
    node: str
    session: str
    cluster: str
    chipset: str
    slots: int
    gpus: int
    memory_mib: int
    draining: bool = False
    loaded: tuple[str, ...] = ()
    cached: tuple[str, ...] = ()
    heard_lease_ms: int = 0
    address: str = ""
    holds: int = 0
    """The most attempts it may have, by its own word when it joined."""


@dataclass(slots=True)
class Moment:
    """The batch whose events are being entered."""

    offset: int
    epoch: int
    seq: int
    now_ms: int
    lease_ms: int
    inputs: list[dict[str, Any]]
    decides: bool
    """It is no Opened, which decides nothing."""
    reports: dict[tuple[str, str, str], list[dict[str, Any]]] = field(default_factory=dict)
    """(node, session, dispatch) -> reports read in this batch."""
    running: set[tuple[str, str, str]] = field(default_factory=set)
    """(node, session, dispatch) named as running by a heartbeat read in this batch."""

    def bodies(self, kind: str) -> list[dict[str, Any]]:
        return [entry["body"] for entry in self.inputs if entry["body"]["type"].startswith(kind + ".")]
