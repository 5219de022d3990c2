"""What others remember of a ledger, to hold it against: a cut tail shows only from outside.

Collect it before the ledger is read: then the ledger can only be longer than they remember.
"""

from __future__ import annotations

from sqlalchemy import Engine

from audit.verdict import Anchor
from runtime.object_store import Missing, ObjectStore
from scheduling import snapshot
from views import queries


def anchors_of_snapshots(store: ObjectStore, pool: str) -> list[Anchor]:
    """One for each snapshot of the pool in the object store that this release can read."""
    found = []
    for key in store.list(f"snapshots/{pool}/"):
        try:
            data = store.get(key)
            state = snapshot.decode(data)
        except (Missing, ValueError):
            continue
        found.append(Anchor(f"snapshot {key.rpartition('/')[2][:24]}…", state.head_offset, state.head_hash, data))
    return found


def anchors_of_views(engine: Engine, pool: str) -> list[Anchor]:
    """Where the views' projection stands."""
    with engine.connect() as connection:
        return [Anchor("views", at.offset, at.hash) for at in queries.pools(connection) if at.pool == pool]
