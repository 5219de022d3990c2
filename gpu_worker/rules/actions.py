"""What a node knows of one attempt that it holds, and what it does next: the vocabulary between rules and agent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from contract.orders import Run
from runtime.worker.rules.actions import Announce as Announce
from runtime.worker.rules.actions import JoinAgain as JoinAgain
from runtime.worker.rules.actions import ListVersions as ListVersions
from runtime.worker.rules.actions import Say as Say
from runtime.worker.rules.actions import StayOut as StayOut


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
    """Its children are being stopped. Its slots are occupied until it is certain that all children have stopped."""
    STORING = auto()
    """It computed; its outputs, or its error, are being stored. It holds no slot any more."""
    ELSEWHERE = auto()
    """The ranks of a gang here did their part. The node of rank 0 says how the attempt ended; until a Kill comes, this
    node lists the attempt, which holds no slot."""


@dataclass(slots=True)
class LocalAttempt:
    """An attempt this node holds."""

    run: Run
    phase: LocalPhase = LocalPhase.FETCHING
    slots: tuple[int, ...] = ()
    """The slots the attempt occupies, in the order of its ranks here: none, or one for each rank."""
    busy: int = 0
    """How many of these slots have a child that is neither done nor halted."""
    failed: bool = False
    """A rank of the attempt has failed."""
    stop_reason: str | None = None
    """Set once the attempt must end without a result: what Stopped will say. Empty: the scheduler expects no report."""


@dataclass(frozen=True, slots=True)
class FetchSupplies:
    """Get the payload and the version of this attempt; tell the rules `fetched` or `ended`."""

    run: Run


@dataclass(frozen=True, slots=True)
class Forget:
    """The attempt is held no more: drop its payload and its files, and stop fetching."""

    dispatch: str


@dataclass(frozen=True, slots=True)
class Launch:
    """Have each slot's child compute its rank of the attempt. Tell the rules `computed`, or of a gang `rank_over` for
    each rank, or `halted` after a Halt."""

    slots: tuple[int, ...]
    run: Run


@dataclass(frozen=True, slots=True)
class Halt:
    """Make sure that the slot's child does not compute this attempt any more; tell the rules `halted`."""

    slot: int
    dispatch: str


@dataclass(frozen=True, slots=True)
class Conclude:
    """All ranks that a gang has here are over: store the outputs of rank 0, or the first failure; tell the rules
    `computed`, then `ended`."""

    run: Run


@dataclass(frozen=True, slots=True)
class Unstore:
    """Stop storing the attempt's outputs, and remove what is stored; tell the rules `ended`."""

    dispatch: str


@dataclass(frozen=True, slots=True)
class Prefetch:
    """Fetch this version to disk ahead of need."""

    version: str
    wheels_from_index: bool = True
    """As in contract.orders.Load."""


Action = (
    FetchSupplies
    | Forget
    | Say
    | Launch
    | Halt
    | Conclude
    | Unstore
    | Prefetch
    | ListVersions
    | JoinAgain
    | StayOut
    | Announce
)
