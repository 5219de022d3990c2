"""The outbox: what schedulers must be told, committed together with the change that it tells of. The relay reads it.

Triggers of the database write its rows, and nobody else does: a row for each version and for each move of an alias.

Postgres does not hand out the ids of a sequence in commit order. So the triggers hold the model before they draw an id,
and the model is held until the transaction ends: within a model, ids follow commit order. Who reads before it writes
calls `hold_model` itself.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

CHANNEL = "registry_outbox"
"""A trigger of the table notifies this channel whenever rows are committed."""


def hold_model(connection: Connection, model: str) -> None:
    """Makes every other writer of this model wait until this transaction ends. The database refuses an author who would
    hold another's model: ask `owners.require` first, which says so in a sentence."""
    connection.execute(text("SELECT registry.hold_model(:model)"), {"model": model})
