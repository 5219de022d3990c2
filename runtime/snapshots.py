"""Stored snapshots, for everybody who reads them: which a pool has, and the newest of several that can be used.

The caller decodes: this module knows nothing of the state inside. A snapshot that is gone, damaged or in a format that
the caller's release cannot decode is passed over for an older one, because a snapshot is never the truth
(contract.snapshot_names).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, Protocol, TypeVar

from contract.snapshot_names import SnapshotName, is_whole, names_in, prefix_of
from runtime.object_store import Missing, OtherSize

StateT = TypeVar("StateT")


class SnapshotSource(Protocol):
    """Where snapshots are kept: the object store, or a disk."""

    def list(self, prefix: str) -> list[str]: ...
    def get(self, key: str, bytes_max: int) -> bytes: ...


class StoredSnapshot(NamedTuple, Generic[StateT]):
    name: SnapshotName
    state: StateT
    data: bytes


def names_of(store: SnapshotSource, pool: str) -> list[SnapshotName]:
    """The snapshots of a pool, oldest first. The store's UNAVAILABLE when the store cannot be reached."""
    return names_in(store.list(prefix_of(pool)))


def first_usable(
    store: SnapshotSource,
    names: Iterable[SnapshotName],
    decode: Callable[[bytes], StateT],
    on_unusable: Callable[[SnapshotName, str], None] = lambda name, reason: None,
) -> StoredSnapshot[StateT] | None:
    """The first of `names` that is whole and that `decode` takes (ValueError: it does not); None when there is none.
    `on_unusable(name, reason)` hears of each damaged or undecodable one before it. The store's UNAVAILABLE."""
    for name in names:
        try:
            data = store.get(name.key, name.bytes_max)
        except Missing:  # deleted since its name was listed
            continue
        except OtherSize:
            on_unusable(name, "it is damaged: it has more bytes than a snapshot of its name")
            continue
        if not is_whole(name, data):
            on_unusable(name, "it is damaged: its bytes are not those that its name says")
            continue
        try:
            return StoredSnapshot(name, decode(data), data)
        except ValueError as error:
            on_unusable(name, f"this release cannot read it: {error}")
    return None
