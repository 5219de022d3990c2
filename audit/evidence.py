"""What others remember of a ledger: the newest snapshot in the object store, and the views. Read it before the ledger,
so that whatever they remember must be there."""

from __future__ import annotations

from sqlalchemy import Engine

from audit.verdict import Anchor
from runtime.object_store import Missing, ObjectStore
from scheduling import snapshot
from scheduling.snapshot_names import is_whole, names_in, prefix_of
from views.projection import position


def anchors_of_snapshots(store: ObjectStore, pool: str) -> list[Anchor]:
    """The newest snapshot of the pool that is whole; empty when there is none.

    One whose bytes are not those that its name says proves nothing and is passed over, as a scheduler does."""
    for name in reversed(names_in(store.list(prefix_of(pool)))):
        try:
            data = store.get(name.key)
        except Missing:
            continue  # a scheduler has let go of it meanwhile
        if not is_whole(name, data):
            continue
        try:
            state = snapshot.decode(data)
        except ValueError:
            continue  # of a release with another format
        return [Anchor(f"snapshot {name.key}", state.head_offset, state.head_hash, data)]
    return []


def anchors_of_views(engine: Engine, pool: str) -> list[Anchor]:
    """Where the read models of the pool are; empty when they contain nothing yet."""
    with engine.connect() as connection:
        at = position(connection, pool)
    return [] if at is None else [Anchor("the views", at.offset, at.hash)]
