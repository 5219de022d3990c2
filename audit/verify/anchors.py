"""What others remember of a ledger: the newest snapshot in the object store, and the views. Read it before the ledger,
so that whatever they remember must be there."""

from __future__ import annotations

from sqlalchemy import Engine

from audit.ledger.snapshots import stored
from audit.verify.verdict import Anchor
from contract.snapshot_names import names_in, prefix_of
from runtime.object_store import ObjectStore
from views.projection import position


def anchors_of_snapshots(store: ObjectStore, pool: str) -> list[Anchor]:
    """The newest snapshot of the pool that is whole; empty when there is none."""
    for name in reversed(names_in(store.list(prefix_of(pool)))):
        found = stored(store, name)
        if found is not None:
            state = found.state
            return [Anchor(f"snapshot {name.key}", state.head_offset, state.head_hash, found.data)]
    return []


def anchors_of_views(engine: Engine, pool: str) -> list[Anchor]:
    """Where the read models of the pool are; empty when they contain nothing yet."""
    with engine.connect() as connection:
        at = position(connection, pool)
    return [] if at is None else [Anchor("the views", at.offset, at.hash)]
