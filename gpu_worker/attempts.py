"""What a node knows of one attempt that it holds, and what it does next: the vocabulary between desk and agent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from contract.inputs import Report
from contract.orders import Run


class Phase(Enum):
    """How far an attempt is on this node. Up to READY it is *staged*, from STARTING on it is *running*."""

    FETCHING = auto()
    """Its payload and its version are being fetched."""
    READY = auto()
    """It can start as soon as a slot is free."""
    STARTING = auto()
    """It has a slot; its Started report waits for the broker's ack."""
    RUNNING = auto()
    """The slot's child process computes it."""
    HALTING = auto()
    """The child is being stopped; the slot is occupied until that is certain."""
    STORING = auto()
    """It computed; its outputs, or its error, are being stored. It holds no slot any more."""


@dataclass(slots=True)
class Held:
    """An attempt this node holds."""

    run: Run
    phase: Phase = Phase.FETCHING
    slot: int = -1
    """The slot it occupies, -1 = none."""
    stop_reason: str | None = None
    """Set once it must end without a result: what Stopped will say. Empty: nobody waits for a report."""


@dataclass(frozen=True, slots=True)
class Fetch:
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
    """Have the slot's child compute the attempt; answer `computed`, or `halted` after a Halt."""

    slot: int
    run: Run


@dataclass(frozen=True, slots=True)
class Halt:
    """Make sure that the slot's child does not compute this attempt any more; answer `halted`."""

    slot: int
    dispatch: str


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


Action = Fetch | Forget | Say | Launch | Halt | Unstore | Prefetch | JoinAgain | Announce
