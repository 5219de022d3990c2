"""The pages of the auditor's books: what the auditor keeps of a job, of a node, and of the batch that it is
entering."""

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
    cap: int = 0
    """The cap on failures that was in force when the job was requeued last."""
    counted_now: bool = False
    """Whether the job's last attempt ended in a way that counts as a failure."""
    dispatch: str = ""
    node: str = ""
    session: str = ""
    cluster: str = ""
    members: list[tuple[str, str]] = field(default_factory=list)
    """The node and session of ranks 1, 2…"""
    rendezvous: str = ""
    started: bool = False
    started_ms: int = 0
    dispatched_ms: int = 0
    dispatched_lease_ms: int = 0
    to_free: bool = False
    """Whether a slot was free for the attempt when it was dispatched."""
    kill_reason: str = ""
    recall_reason: str = ""
    cancelling: str = ""
    eligible_lease_ms: int = 0
    last_failure: str = ""
    lost_nodes: list[str] = field(default_factory=list)
    alias: str = ""
    """The alias that the job named; empty: the digest."""
    model: str = ""
    copies: list[int] = field(default_factory=list)
    spared: int = 0
    """How many failures do not count, because they happened on cordoned nodes."""
    failed_on: list[str] = field(default_factory=list)
    """The last four nodes on which the job failed."""
    failed_now: str = ""
    """The kind of failure that closed the job's last attempt; empty: it was closed otherwise."""
    media: int = 0
    """How many media CPU workers prepare for the job."""
    preparations: int = 0
    prepared: str = ""
    """The preparation whose inputs the job has."""
    prepared_for: str = ""
    """The rules of its version when these inputs came."""
    worker_losses: int = 0
    outages: int = 0
    """Preparations in a row that ended by an outage."""
    blames: dict[str, int] = field(default_factory=dict)
    """By node: the place in the ledger of the job's last failure there that may accuse the node."""

    @property
    def open(self) -> bool:
        return bool(self.dispatch)

    @property
    def seats(self) -> list[tuple[str, str]]:
        """The node and session of each rank of the open attempt, or of the CPU worker of the open preparation."""
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
    """The most attempts that the node may have, as it said when it joined."""
    identity: str = ""
    usable: int = 0
    """How many of the slots can run an attempt."""
    holding: str = ""
    layers_missing: tuple[str, ...] = ()
    kind: str = "run"

    @property
    def takes_new(self) -> bool:
        return not self.draining and not self.holding


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
    """Whether the batch decides anything: an Opened does not."""
    events: list[dict[str, Any]] = field(default_factory=list)
    void: set[int] = field(default_factory=set)
    """Offsets of inputs whose signer is revoked at that moment: nothing may rest on them."""
    reports: dict[tuple[str, str, str], list[dict[str, Any]]] = field(default_factory=dict)
    """By node, session and dispatch or preparation: the reports read in this batch."""
    running: set[tuple[str, str, str]] = field(default_factory=set)
    """The node, session and dispatch of each attempt that a heartbeat read in this batch names as running."""

    @property
    def counted(self) -> list[dict[str, Any]]:
        """The inputs that are not void."""
        return [entry for entry in self.inputs if entry["offset"] not in self.void] if self.void else self.inputs

    def bodies(self, kind: str) -> list[dict[str, Any]]:
        return [entry["body"] for entry in self.counted if entry["body"]["type"].startswith(kind + ".")]
