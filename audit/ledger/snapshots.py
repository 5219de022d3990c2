"""At which snapshots a reading of the past may begin.

Whoever writes into the bucket can put a snapshot there that no scheduler folded, and what is read from it on would be
told to people as the past. Who has the installation's key can tell by the seal (contract.seals). Who has none begins at
the first record, which takes longer and needs no trust; or, where there is no time for that, at whatever is there, and
says so.
"""

from __future__ import annotations

from contract.seals import SnapshotSeals
from contract.snapshot_names import SnapshotName
from runtime.object_store import ObjectStore
from runtime.snapshots import names_of


class PastSnapshots:
    """The snapshots of one store that a reader believes."""

    def __init__(self, store: ObjectStore, seals: SnapshotSeals, *, unproved: bool = False) -> None:
        """`seals` by the keys that the reader has. `unproved`: without keys the reader begins at whatever is there, and
        must say so."""
        self.store = store
        self._seals = seals
        self._unproved = unproved
        self.passed_over: list[SnapshotName] = []
        """Of the names asked for: those that are not believed."""

    @property
    def are_proved(self) -> bool:
        """Whether the seals of those that are believed were checked."""
        return self._seals.are_made

    def names_of(self, pool: str) -> list[SnapshotName]:
        """Those that are believed, oldest first. The store's UNAVAILABLE when the store cannot be reached."""
        if not self._seals.are_made:
            return names_of(self.store, pool) if self._unproved else []
        names = names_of(self.store, pool)
        self.passed_over = [name for name in names if self._seals.refusal_of(name)]
        return [name for name in names if name not in self.passed_over]
