"""What a CPU worker knows of one preparation that it holds, and what it does next."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from contract.orders import Prepare
from runtime.worker.rules.actions import Announce as Announce
from runtime.worker.rules.actions import JoinAgain as JoinAgain
from runtime.worker.rules.actions import ListVersions as ListVersions
from runtime.worker.rules.actions import Say as Say
from runtime.worker.rules.actions import StayOut as StayOut


class PreparationPhase(IntEnum):
    """How far a preparation is here. WAITING is *staged*, from FETCHING on it is *running*. A phase never goes back:
    what is told late changes nothing."""

    WAITING = 0
    """No place is free yet, or the worker holds."""
    FETCHING = 1
    """The payload, the version's schema and the sources come here."""
    CHECKING = 2
    """The sources are here and are looked at."""
    DECODING = 3
    STORING = 4
    """What the model gets goes to the store, or the sentence that refuses the media."""


@dataclass(slots=True)
class LocalPreparation:
    """A preparation that this worker holds."""

    order: Prepare
    phase: PreparationPhase = PreparationPhase.WAITING


@dataclass(frozen=True, slots=True)
class Begin:
    """Fetch, check, decode and store; tell the rules `moved`, and at the end `ended`."""

    order: Prepare


@dataclass(frozen=True, slots=True)
class Abandon:
    """Nobody wants the preparation any more: end what works on it, and tell the rules `ended` once all of it ended."""

    preparation: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """Nothing works on the preparation any more: remove what it left on the disk."""

    preparation: str


WorkerAction = Begin | Abandon | Sweep | Say | ListVersions | JoinAgain | StayOut | Announce
