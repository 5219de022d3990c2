"""Owners: a model belongs to whoever registered it first, and nobody else publishes it or moves its aliases.

The database keeps this, by the login of the session (triggers of revision 10): an author who goes round this module is
refused all the same. Here the refusal is a sentence, and comes before anything is uploaded. Operators may publish every
model, and hand one over. What they registered, and what was there before models had owners, is the operators'.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, Engine, text

from registry import models, outbox
from registry.errors import RegistryError

OPERATORS = "operators"
"""How people write the owner of what belongs to no author. The database has an empty text there."""
LOGIN_BYTES_MAX = 63
"""Of a login's name: Postgres cuts longer ones."""


class OwnerChange(msgspec.Struct, frozen=True):
    """One row of a model's owners."""

    model: str
    change: int
    owner: str
    """A login; empty: the operators."""
    who: str
    why: str
    given_ms: int
    """By the database's clock."""


def named(owner: str) -> str:
    """An owner as people read it."""
    return owner or OPERATORS


def owner_of(connection: Connection, model: str) -> str:
    """The login to which the model belongs; empty: it belongs to the operators, or nobody registered it."""
    owner: str = connection.execute(text("SELECT registry.owner_of(:model)"), {"model": model}).scalar_one()
    return owner


_STANDING = """
SELECT registry.is_operator() OR registry.owner_of(:model) = session_user
       OR NOT EXISTS (SELECT FROM registry.models WHERE name = :model) AS may,
       registry.owner_of(:model) AS owner, session_user::text AS login
"""


def require(connection: Connection, model: str) -> None:
    """RegistryError(forbidden) when the model belongs to somebody else than this login, and the login is no operator's.
    A model that nobody registered is whoever's comes first."""
    standing = connection.execute(text(_STANDING), {"model": model}).one()
    if not standing.may:
        raise RegistryError(
            "forbidden",
            f"expected a model of login {standing.login}, found {model[:80]!r}, which belongs to"
            f" {named(standing.owner)}: give yours another name, or ask an operator to hand it over"
            f" (`headrace models owner {model[:80]} {standing.login}`)",
        )


_GIVE = """
INSERT INTO registry.owners (model, change, owner, given_by, why)
SELECT :model, coalesce(max(change), 0) + 1, :owner, :who, :why FROM registry.owners WHERE model = :model
"""


def give(engine: Engine, model: str, owner: str, who: str, why: str) -> OwnerChange | None:
    """Hands the model to this login, or with an empty text to the operators; None when it belongs there already.

    The login need not exist yet. RegistryError: unknown_model, invalid, forbidden for a login that is no operator's."""
    if len(owner.encode()) > LOGIN_BYTES_MAX or not (owner.isprintable() and owner == owner.strip()):
        raise RegistryError(
            "invalid", f"expected the name of a login of Postgres, at most 63 bytes, found {owner[:80]!r}"
        )
    models.show(engine, model)
    with engine.begin() as connection:
        if not connection.execute(text("SELECT registry.is_operator()")).scalar_one():
            raise RegistryError(
                "forbidden", f"expected an operator's login to hand {model!r} over, found an author's: ask an operator"
            )
        outbox.hold_model(connection, model)
        if owner_of(connection, model) == owner:
            return None
        connection.execute(text(_GIVE), {"model": model, "owner": owner, "who": who, "why": why})
        return _history(connection, model)[-1]


def history(engine: Engine, model: str) -> tuple[OwnerChange, ...]:
    """Every change of the model's owner, oldest first; none for a model that was always the operators'.

    RegistryError(unknown_model)."""
    models.show(engine, model)
    with engine.connect() as connection:
        return _history(connection, model)


_HISTORY = """
SELECT model, change, owner, given_by AS who, why, (extract(epoch FROM given_at) * 1000)::bigint AS given_ms
FROM registry.owners WHERE model = :model ORDER BY change
"""


def _history(connection: Connection, model: str) -> tuple[OwnerChange, ...]:
    return tuple(OwnerChange(**row) for row in connection.execute(text(_HISTORY), {"model": model}).mappings())
