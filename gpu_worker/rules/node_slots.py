"""Which attempt has which slot of a node, and which version each slot has loaded."""

from __future__ import annotations


class NodeSlots:
    def __init__(self, slots: int) -> None:
        self._holder = [""] * slots
        """By slot, the dispatch that has the slot; empty: the slot is free."""
        self._version = [""] * slots
        """By slot, the version that its child has loaded; empty: none."""
        self._lost: set[int] = set()
        """Slots whose child was killed and lives on."""

    def __len__(self) -> int:
        return len(self._holder)

    @property
    def usable(self) -> int:
        """How many slots are not lost."""
        return len(self._holder) - len(self._lost)

    def lose(self, slot: int) -> None:
        """Give the slot to nobody, until it is regained."""
        self._lost.add(slot)

    def regain(self, slot: int) -> None:
        self._lost.discard(slot)

    @property
    def loaded(self) -> tuple[str, ...]:
        """Versions that a slot has loaded, sorted, each once."""
        return tuple(sorted({version for version in self._version if version}))

    def note_loaded(self, slot: int, version: str) -> bool:
        """Remember what the slot's child has loaded; empty: nothing. Whether that is news."""
        is_news = self._version[slot] != version
        self._version[slot] = version
        return is_news

    def occupy(self, dispatch: str, version: str, ranks: int) -> tuple[int, ...]:
        """Give the attempt a slot for each of its ranks, those that suit it best. No slot when too few are free.

        Slots with the version loaded come first, then slots with none loaded, then any; among equals the lowest. A gang
        has children of its own, so no slot has a gang's version loaded."""
        free = [slot for slot, holder in enumerate(self._holder) if not holder and slot not in self._lost]
        if len(free) < ranks:
            return ()
        free.sort(key=lambda slot: (self._version[slot] != version, self._version[slot] != "", slot))
        chosen = tuple(free[:ranks])
        for slot in chosen:
            self._holder[slot] = dispatch
        return chosen

    def free(self, slots: tuple[int, ...]) -> None:
        for slot in slots:
            self._holder[slot] = ""
