"""Anchors held against the ledger: each must be found at its record, with the same hash and the same state."""

from __future__ import annotations

from collections.abc import Iterable

from audit.verify.verdict import Anchor, Finding
from scheduling import snapshot
from scheduling.state.pool import State


class AnchorCheck:
    """Compares each anchor at the record that it names, once that record has been folded."""

    def __init__(self, anchors: Iterable[Anchor]) -> None:
        self._open: dict[int, list[Anchor]] = {}
        """Anchors that have not been compared, by offset."""
        for anchor in anchors:
            self._open.setdefault(anchor.offset, []).append(anchor)
        self.agreed: list[str] = []
        """Sources of the anchors that agree with the ledger."""
        self.agreed_offset = -1
        """The last record of which an anchor agrees; -1: none."""

    def compare(self, offset: int, record_hash: str, state: State) -> list[Finding]:
        """What is wrong with the anchors at this record. `state` is the state after the record."""
        found = []
        for anchor in self._open.pop(offset, ()):
            if anchor.hash != record_hash:
                text = f"{anchor.source} remembers hash {anchor.hash[:16]} here, the ledger has {record_hash[:16]}"
                found.append(Finding(offset, "I14", text + ": the ledger was rewritten, or that copy was"))
            elif anchor.snapshot is not None and not _is_state(anchor.snapshot, state):
                text = f"{anchor.source} holds another state than the fold of the ledger up to this record"
                found.append(Finding(offset, "I7", text))
            else:
                self.agreed.append(anchor.source)
                self.agreed_offset = max(self.agreed_offset, offset)
        return found

    def missing(self, last_offset: int) -> list[Finding]:
        """Anchors whose record the ledger does not have: its tail was cut, or that record does not count."""
        found = []
        for offset, anchors in sorted(self._open.items()):
            for anchor in anchors:
                cut = offset > last_offset
                text = f"{anchor.source} remembers a record at offset {offset} with hash {anchor.hash[:16]};"
                text += (
                    f" the ledger ends at offset {last_offset}: its tail was cut"
                    if cut
                    else " no record that counts lies there"
                )
                found.append(Finding(-1 if cut else offset, "I14", text))
        return found


def _is_state(data: bytes, state: State) -> bool:
    """The snapshot can be decoded and holds this state."""
    try:
        return snapshot.state_hash(snapshot.decode(data)) == snapshot.state_hash(state)
    except ValueError:
        return False
