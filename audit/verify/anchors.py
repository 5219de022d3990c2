"""What others remember of a ledger: the newest snapshot in the object store, and the views.

Read the anchors before the ledger: then every record that they name must be in the ledger.
"""

from __future__ import annotations

from sqlalchemy import Engine

from audit.ledger.snapshots import PastSnapshots
from audit.verify.verdict import Anchor
from runtime.snapshots import first_usable
from scheduling import snapshot
from views.projection import position

UNPROVED = " (whoever writes the bucket may have written it: its seal was not checked)"


def anchors_of_snapshots(snapshots: PastSnapshots, pool: str) -> list[Anchor]:
    """An anchor from the pool's newest snapshot that is believed and whole; empty when there is none."""
    found = first_usable(snapshots.store, reversed(snapshots.names_of(pool)), snapshot.decode)
    if found is None:
        return []
    state = found.state
    source = f"snapshot {found.name.key}" + ("" if snapshots.are_proved else UNPROVED)
    return [Anchor(source, state.head_offset, state.head_hash, found.data)]


def anchors_of_views(engine: Engine, pool: str) -> list[Anchor]:
    """An anchor from the position of the pool's views; empty when the views have nothing of the pool yet."""
    with engine.connect() as connection:
        at = position(connection, pool)
    return [] if at is None else [Anchor("the views", at.offset, at.hash)]
