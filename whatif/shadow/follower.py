"""Follows a pool's ledger as it grows, and hands each batch to a shadow."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from audit.ledger.damage import Damage
from audit.ledger.past import LedgerPast
from audit.ledger.walk import Walk, walked
from contract.batch import Batch
from scheduling.state.pool import State
from whatif.shadow.shadow import Shadow
from whatif.simulation.event_queue import NEVER


class Followed(NamedTuple):
    shadow: Shadow
    damage: Damage | None
    """Why the ledger could be read no further."""


def follow(past: LedgerPast, make: Callable[[State], Shadow], since_ms: int, until_ms: int = NEVER) -> Followed:
    """Follows the ledger with the shadow that `make` makes of the pool's state at `since_ms`, until the ledger ends or
    its clock passes `until_ms`. `make` is called a second time when the ledger has to be read from its beginning
    (audit.ledger.walk)."""

    def read(walk: Walk) -> Followed:
        shadow: Shadow | None = None
        held: tuple[int, Batch] | None = None
        for offset, batch in walk:
            if shadow is not None and held is not None:
                shadow.take(held[1], held[0], walk.state)
            if shadow is None and batch.now_ms > since_ms:
                shadow = make(walk.state)
            if batch.now_ms > until_ms:
                held = None
                break
            held = offset, batch
        if shadow is None:
            shadow, held = make(walk.state), None
        if held is not None and walk.state.head_offset == held[0]:
            shadow.take(held[1], held[0], walk.state)
        return Followed(shadow, walk.damage)

    return walked(past, since_ms, read)
