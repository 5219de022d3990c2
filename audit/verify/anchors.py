"""What others remember of a ledger: the newest snapshot in the object store, and the views.

Read the anchors before the ledger: then every record that they name must be in the ledger.
"""

from __future__ import annotations

from sqlalchemy import Engine

from audit.verify.verdict import Anchor
from runtime.object_store import ObjectStore
from runtime.snapshots import first_usable, names_of
from scheduling import snapshot
from views.projection import position


def anchors_of_snapshots(store: ObjectStore, pool: str) -> list[Anchor]:
    """An anchor from the pool's newest snapshot that is whole; empty when there is none."""
    found = first_usable(store, reversed(names_of(store, pool)), snapshot.decode)
    if found is None:
        return []
    state = found.state
    return [Anchor(f"snapshot {found.name.key}", state.head_offset, state.head_hash, found.data)]


def anchors_of_views(engine: Engine, pool: str) -> list[Anchor]:
    """An anchor from the position of the pool's views; empty when the views have nothing of the pool yet."""
    with engine.connect() as connection:
        at = position(connection, pool)
    return [] if at is None else [Anchor("the views", at.offset, at.hash)]
