"""Aliases: movable pointers from a model to one of its versions, with a history that only grows.

The moves of an alias are numbered 1, 2, 3… in commit order, because a writer holds the model before it reads the last
number. A rollback is one more move, to the version before the one in force. A second rollback goes further back, and
never forward to a version that was rolled back. No alias is moved to a withdrawn version, or told to stay there, by
whichever way it would come there: `promote`, `rollback`, or a publication.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, Engine, text

from contract.names import is_name
from registry import models, outbox, owners
from registry.errors import RegistryError
from registry.models import RegisteredVersion


class AliasMove(msgspec.Struct, frozen=True):
    """One row of an alias's history."""

    model: str
    alias: str
    move: int
    version: str
    previous: str
    """The version that the alias pointed to before; empty for the first move."""
    is_rollback: bool
    who: str
    why: str
    moved_ms: int
    """By the database's clock."""


def promote(engine: Engine, model: str, alias: str, version: str, who: str, why: str) -> AliasMove:
    """Points the alias to this version (`sha256:…`) of the model. The relay tells the scheduler.

    An alias that points there already does not move: its last move is returned.
    RegistryError: unknown_model, unknown_version, forbidden, withdrawn, invalid."""
    with engine.begin() as connection:
        owners.require(connection, model)
        outbox.hold_model(connection, model)
        return promote_in(connection, model, alias, version, who, why)


def promote_in(connection: Connection, model: str, alias: str, version: str, who: str, why: str) -> AliasMove:
    """`promote` in the caller's transaction, which holds the model (outbox.hold_model)."""
    if not is_name(alias):
        raise RegistryError(
            "invalid",
            f"expected an alias of lower case letters, digits, '.', '_', '-', at most 63, found {alias[:80]!r}",
        )
    found = models.version_in(connection, version)
    if found is None or found.model != model:
        raise RegistryError(
            "unknown_version",
            f"model {model!r} has no version {version[:80]!r}; publish it first, or see `headrace models show {model}`",
        )
    _refuse_withdrawn(found, alias)
    moves = _history(connection, model, alias)
    if moves and moves[-1].version == version:
        return moves[-1]
    return _move(connection, moves, model, alias, version, who, why, is_rollback=False)


def rollback(engine: Engine, model: str, alias: str, who: str, why: str) -> AliasMove:
    """Points the alias back to the version before the one in force.

    RegistryError: unknown_alias, forbidden, conflict when there is no earlier version, or withdrawn when that one
    is."""
    with engine.begin() as connection:
        owners.require(connection, model)
        outbox.hold_model(connection, model)
        moves = _history(connection, model, alias)
        if not moves:
            raise models.unknown_alias(connection, model, alias)
        stood: list[str] = []
        for move in moves:
            if move.is_rollback:
                stood.pop()
            else:
                stood.append(move.version)
        if len(stood) < 2:
            raise RegistryError(
                "conflict",
                f"alias {model}@{alias} points to {stood[-1]} and no version stood before it;"
                f" promote the version you want: `headrace models promote {model} VERSION --alias {alias}`",
            )
        before = models.version_in(connection, stood[-2])
        if before is not None:
            _refuse_withdrawn(before, alias)
        return _move(connection, moves, model, alias, stood[-2], who, why, is_rollback=True)


def _refuse_withdrawn(version: RegisteredVersion, alias: str) -> None:
    """Jobs of the alias would be refused, and those that wait for another version would go on waiting."""
    if version.withdrawn:
        model = version.model
        raise RegistryError(
            "withdrawn",
            f"expected a version that may run, found {version.digest}, which was withdrawn for ever: promote another"
            f" version, `headrace models promote {model} VERSION --alias {alias}` (`headrace models show {model}` lists"
            " them), or publish a change of this one",
        )


def history(engine: Engine, model: str, alias: str) -> tuple[AliasMove, ...]:
    """Every move of the alias, oldest first. RegistryError: unknown_model, unknown_alias."""
    with engine.connect() as connection:
        moves = _history(connection, model, alias)
        if not moves:
            raise models.unknown_alias(connection, model, alias)
    return moves


_HISTORY = """
SELECT model, alias, move, version, previous, is_rollback, moved_by AS who, why,
       (extract(epoch FROM moved_at) * 1000)::bigint AS moved_ms
FROM registry.alias_moves WHERE model = :model AND alias = :alias ORDER BY move
"""


def _history(connection: Connection, model: str, alias: str) -> tuple[AliasMove, ...]:
    rows = connection.execute(text(_HISTORY), {"model": model, "alias": alias})
    return tuple(AliasMove(**row) for row in rows.mappings())


def _move(
    connection: Connection,
    moves: tuple[AliasMove, ...],
    model: str,
    alias: str,
    version: str,
    who: str,
    why: str,
    *,
    is_rollback: bool,
) -> AliasMove:
    if not who:
        raise RegistryError("invalid", "expected who moves the alias, found an empty name")
    number = moves[-1].move + 1 if moves else 1
    row = {"model": model, "alias": alias, "version": version, "move": number}
    connection.execute(  # triggers move the pointer and fill the outbox
        text(
            "INSERT INTO registry.alias_moves (model, alias, move, version, previous, is_rollback, moved_by, why)"
            " VALUES (:model, :alias, :move, :version, :previous, :is_rollback, :who, :why)"
        ),
        row | {"previous": moves[-1].version if moves else "", "is_rollback": is_rollback, "who": who, "why": why},
    )
    return _history(connection, model, alias)[-1]
