"""The outbox: records for `jobs` that commit together with the change that they tell of. The relay reads them here.

Postgres does not hand out the ids of a sequence in commit order. So whoever writes for a model calls `hold_model`
before it draws the first id, and holds the model until it commits: within a model, ids follow commit order.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from contract.codec import encode
from contract.inputs import AliasMoved, VersionPublished

CHANNEL = "registry_outbox"
"""A trigger of the table notifies this channel whenever rows are committed."""


def hold_model(connection: Connection, model: str) -> None:
    """Makes every other writer of this model wait until this transaction ends."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"registry.model/{model}"}
    )


def add(connection: Connection, record: VersionPublished | AliasMoved) -> None:
    """Commits the record with this transaction. The caller holds the model (`hold_model`)."""
    alias, move = (record.alias, record.move) if isinstance(record, AliasMoved) else ("", 0)
    event_id = f"{record.model}@{alias}#{move}" if alias else record.version
    connection.execute(
        text(
            "INSERT INTO registry.outbox (model, version, alias, move, event_id, record)"
            " VALUES (:model, :version, :alias, :move, :event_id, :record)"
        ),
        {
            "model": record.model,
            "version": record.version,
            "alias": alias,
            "move": move,
            "event_id": event_id,
            "record": encode(record).decode(),
        },
    )
