"""A snapshot in the object store as evidence: only what can be read and is what its name says counts."""

from __future__ import annotations

from typing import NamedTuple

from contract.snapshot_names import SnapshotName, is_whole
from runtime.object_store import Missing, ObjectStore
from scheduling import snapshot
from scheduling.state.pool import State


class Stored(NamedTuple):
    state: State
    data: bytes


def stored(store: ObjectStore, name: SnapshotName) -> Stored | None:
    """The snapshot of this name. None: it has been let go of, is damaged (so it proves nothing), or is of a release
    with another format; a scheduler passes it over likewise."""
    try:
        data = store.get(name.key)
    except Missing:
        return None
    if not is_whole(name, data):
        return None
    try:
        return Stored(snapshot.decode(data), data)
    except ValueError:
        return None
