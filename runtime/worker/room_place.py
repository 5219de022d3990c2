"""One rank's part in what the ranks of a gang on one node share (`gpu_worker.child.gang_room`)."""

from __future__ import annotations

import msgspec


class RoomPlace(msgspec.Struct, frozen=True):
    slot: int
    """Of the first rank: all have the user of that slot's children."""
    opens: tuple[int, ...] = ()
    """Of the first rank: descriptors by which the others are handed what is shared."""
    enters: int = -1
    """Of the others: the descriptor by which that comes."""

    @property
    def descriptors(self) -> tuple[int, ...]:
        return self.opens if self.enters < 0 else (self.enters,)
