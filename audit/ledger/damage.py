"""What is said of a damaged ledger: which record is bad, and up to which record the ledger can be trusted."""

from __future__ import annotations

import msgspec

from views.moments import when


class Damage(msgspec.Struct, frozen=True):
    """Why the ledger can't be believed any further."""

    offset: int
    """Offset of the bad record, or of the first record that is missing."""
    text: str
    """What was expected and what was found."""
    trusted_offset: int
    """The records up to this one can be trusted; -1: none can."""
    trusted_ms: int
    """The pool's clock at the last record that can be trusted."""


def said_of(damage: Damage) -> str:
    """Which record is bad and what can still be trusted, as a sentence."""
    trusted = (
        f"it can be trusted up to offset {damage.trusted_offset} ({when(damage.trusted_ms)}) and no further"
        if damage.trusted_offset >= 0
        else "no record of it can be trusted"
    )
    found = f"the ledger is damaged at offset {damage.offset}: {damage.text}"
    return f"{found}; {trusted}; `headrace audit verify` says more"


class NotBelieved(Exception):
    """The answer lies in a part of the ledger that can't be believed."""

    def __init__(self, damage: Damage) -> None:
        instead = "; ask for what was until then" if damage.trusted_offset >= 0 else ""
        super().__init__(said_of(damage) + instead)
        self.damage = damage
