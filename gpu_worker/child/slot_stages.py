"""The stages of a slot, how long each may last, and who is told of what becomes of its attempts."""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol

from contract.orders import Run
from gpu_worker.rules.outcome import ChildOutcome

ASKED_S = 1.0
"""How long a model may take to notice that it is cancelled, before its process is ended."""

TERMINATING_S = 0.5
KILLING_S = 1.0
"""How often a killed process is looked at again, in case its end is not announced. The stage ends with the process, or
UNDYING_S after the kill."""

STRAYS_S = 0.02
"""How often to look whether what a child left behind has ended."""

SWEEPING_S = 10.0
"""How long the slot waits for that. It goes on then; what is left behind is killed at every heartbeat."""

LAST_RECEIVES = 64
"""Of 16 KiB each, once a child has ended: more than it can have left in a socket. What goes on is another process's."""

LAST_PRINTS = 16
"""Of 64 KiB each: as much as a pipe holds."""

LOADING_S = 900.0
"""How long a version may take to import and load."""


class Stage(Enum):
    EMPTY = auto()
    IDLE = auto()
    LOADING = auto()
    COMPUTING = auto()
    ASKED = auto()
    TERMINATING = auto()
    KILLING = auto()
    SWEEPING = auto()
    LOST = auto()


class SlotListener(Protocol):
    """Who is told. Each launched attempt ends in exactly one `done` or, after `halt`, one `halted`."""

    def loaded(self, slot: int, version: str) -> None: ...
    def progressed(self, run: Run, fraction: float, message: str) -> None: ...
    def done(self, slot: int, run: Run, outcome: ChildOutcome) -> None: ...
    def halted(self, slot: int, run: Run) -> None: ...

    def lost(self, slot: int, unbegun: str) -> None:
        """The slot cannot be used. `unbegun`: the dispatch that was waiting for it, to be halted; empty: none."""

    def regained(self, slot: int) -> None:
        """The slot that was lost can be used again."""
