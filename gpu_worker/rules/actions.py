"""What a node knows of one attempt that it holds, and what it does next: the vocabulary between desk and agent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from contract.inputs import Report
from contract.orders import Run


class LocalPhase(Enum):
    """How far an attempt is on this node. Up to READY it is *staged*, from STARTING on it is *running*."""

    FETCHING = auto()
    """Its payload and its version are being fetched."""
    READY = auto()
    """It can start as soon as a slot is free."""
    STARTING = auto()
    """It has a slot; its Started report waits for the broker's ack."""
    RUNNING = auto()
    """Its slots' child processes compute it."""
    HALTING = auto()
    """Its children are being stopped; its slots are occupied until that is certain of all."""
    STORING = auto()
    """It computed; its outputs, or its error, are being stored. It holds no slot any more."""
    ELSEWHERE = auto()
    """Ranks of a gang that did their part: the node of rank 0 says how it ended. Holds no slot; listed until told."""


@dataclass(slots=True)
class LocalAttempt:
    """An attempt this node holds."""

    run: Run
    phase: LocalPhase = LocalPhase.FETCHING
    slots: tuple[int, ...] = ()
    """The slots it occupies, in the order of its ranks here: none, or one for each."""
    busy: int = 0
    """Of these, those whose child is not done and not halted yet."""
    failed: bool = False
    """A rank of it has failed."""
    stop_reason: str | None = None
    """Set once it must end without a result: what Stopped will say. Empty: nobody waits for a report."""


@dataclass(frozen=True, slots=True)
class FetchSupplies:
    """Get the payload and the version of this attempt; answer `fetched` or `ended`."""

    run: Run


@dataclass(frozen=True, slots=True)
class Forget:
    """The attempt is held no more: drop its payload and its files, and stop fetching."""

    dispatch: str


@dataclass(frozen=True, slots=True)
class Say:
    """Report this, after everything that was said before."""

    report: Report


@dataclass(frozen=True, slots=True)
class Launch:
    """Have each slot's child compute its rank of the attempt; answer `computed`, or of a gang `rank_over` for each, or
    `halted` after a Halt."""

    slots: tuple[int, ...]
    run: Run


@dataclass(frozen=True, slots=True)
class Halt:
    """Make sure that the slot's child does not compute this attempt any more; answer `halted`."""

    slot: int
    dispatch: str


@dataclass(frozen=True, slots=True)
class Conclude:
    """All ranks that a gang has here are over: store the outputs of rank 0, or the first failure; answer `ended`."""

    run: Run


@dataclass(frozen=True, slots=True)
class Unstore:
    """Stop storing the attempt's outputs, and remove what is stored; answer `ended`."""

    dispatch: str


@dataclass(frozen=True, slots=True)
class Prefetch:
    """Fetch this version to disk ahead of need."""

    version: str


@dataclass(frozen=True, slots=True)
class JoinAgain:
    """The session is over: begin a new one."""


@dataclass(frozen=True, slots=True)
class Announce:
    """Something the scheduler should hear at once: send a heartbeat now."""


Action = FetchSupplies | Forget | Say | Launch | Halt | Conclude | Unstore | Prefetch | JoinAgain | Announce
