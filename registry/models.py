"""Models, their pool and their versions: what a model reference means.

The pool of a model never changes (the table is insert-only), so `lookup` keeps its answers for ever. A version never
changes either. Aliases move, so `resolve` reads them each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from weakref import WeakKeyDictionary

import msgspec
from sqlalchemy import Connection, Engine, Row, text

from contract.names import is_name, parse_model
from registry.answers import Answers
from registry.errors import RegistryError
from registry.manifest import Manifest, decode_manifest

POOLS_KEPT_MAX = 100_000
MANIFESTS_KEPT_MAX = 256
_pools: WeakKeyDictionary[Engine, Answers[str, str]] = WeakKeyDictionary()
_manifests: Answers[str, Manifest] = Answers(MANIFESTS_KEPT_MAX)


class RegisteredVersion(msgspec.Struct, frozen=True):
    """A published version. Only `relayed` and `withdrawn` ever change, each once."""

    model: str
    digest: str
    pool: str
    manifest: Manifest
    published_ms: int
    published_by: str
    relayed: bool
    """Whether the relay has told the scheduler: then a job that is submitted now finds the version known."""
    withdrawn: bool = False
    """The version must not run any more, by the views of its pool's ledger, which may be a moment behind."""


def size_of(version: RegisteredVersion) -> int:
    """About what the version takes in memory: several times its JSON."""
    return 4 * len(msgspec.json.encode(version.manifest)) + 1_000


class RegisteredAlias(msgspec.Struct, frozen=True):
    alias: str
    version: str
    move: int


class RegisteredModel(msgspec.Struct, frozen=True):
    """A model, its aliases by name, and the digests of its versions, newest first."""

    name: str
    pool: str
    aliases: tuple[RegisteredAlias, ...]
    versions: tuple[str, ...]


def bind(connection: Connection, model: str, pool: str, who: str) -> bool:
    """Binds a model to its pool for ever; False when it is bound to it. The caller holds the model (outbox.hold_model).

    RegistryError: conflict when the model is bound to another pool, unknown_pool, invalid for a bad name."""
    if not is_name(model):
        raise RegistryError(
            "invalid",
            f"expected a model name of lower case letters, digits, '.', '_', '-', at most 63, found {model[:80]!r}",
        )
    known = connection.execute(
        text("SELECT name FROM registry.pools WHERE name = :pool"), {"pool": pool}
    ).scalar_one_or_none()
    if known is None:
        raise unknown_pool(
            pool, connection.execute(text("SELECT name FROM registry.pools ORDER BY name")).scalars().all()
        )
    done = connection.execute(
        text(
            "INSERT INTO registry.models (name, pool, bound_by) VALUES (:model, :pool, :who)"
            " ON CONFLICT (name) DO NOTHING RETURNING name"
        ),
        {"model": model, "pool": pool, "who": who},
    ).scalar_one_or_none()
    if done is not None:
        return True
    bound = connection.execute(
        text("SELECT pool FROM registry.models WHERE name = :model"), {"model": model}
    ).scalar_one()
    if bound != pool:
        raise bound_elsewhere(model, bound, pool)
    return False


def lookup(engine: Engine, model: str) -> str:
    """The pool of a model (its name alone). Asks the database once for each model, then never again.

    RegistryError(unknown_model) when the model was never published."""
    return _pools.setdefault(engine, Answers(POOLS_KEPT_MAX)).get(model, partial(_pool_of, engine, model))


def _pool_of(engine: Engine, model: str) -> str:
    with engine.connect() as connection:
        found: str | None = connection.execute(
            text("SELECT pool FROM registry.models WHERE name = :model"), {"model": model}
        ).scalar_one_or_none()
    if found is None:
        raise unknown_model(model)
    return found


_VERSION = """
SELECT v.digest, v.model, m.pool, v.manifest, v.published_by,
       (extract(epoch FROM v.published_at) * 1000)::bigint AS published_ms,
       EXISTS (SELECT FROM registry.outbox o WHERE o.model = v.model AND o.version = v.digest AND o.alias = ''
               AND o.move = 0 AND o.published_at IS NOT NULL) AS relayed,
       EXISTS (SELECT FROM views.withdrawals w WHERE w.pool = m.pool AND w.model = v.model AND w.version = v.digest)
               AS withdrawn
FROM registry.versions v JOIN registry.models m ON m.name = v.model
"""

_ALIAS_TARGET = """
SELECT o.version, o.published_at IS NOT NULL AS relayed FROM registry.outbox o
WHERE o.model = :model AND o.alias = :alias
ORDER BY o.published_at IS NOT NULL DESC, CASE WHEN o.published_at IS NULL THEN -o.move ELSE o.move END DESC LIMIT 1
"""
"""The newest move that the scheduler was told. When it was told none: the first move that it will be told."""


def resolve(engine: Engine, reference: str) -> RegisteredVersion:
    """What `model`, `model@alias` or `model@sha256:…` means to the scheduler now.

    An alias means its newest move that was relayed: a job that is submitted now is pinned to that version. `relayed` is
    false while the scheduler has not been told of the version, or of any move of the alias. Ask again: it soon will be.
    RegistryError: invalid, unknown_model, unknown_alias, unknown_version."""
    try:
        model, alias, digest = parse_model(reference)
    except ValueError as error:
        raise RegistryError("invalid", str(error)) from None
    with engine.connect() as connection:
        told = True
        if alias:
            pointed = connection.execute(text(_ALIAS_TARGET), {"model": model, "alias": alias}).one_or_none()
            if pointed is None:
                raise unknown_alias(connection, model, alias)
            digest, told = pointed.version, pointed.relayed
        row = connection.execute(
            text(_VERSION + "WHERE v.model = :model AND v.digest = :digest"), {"model": model, "digest": digest}
        ).one_or_none()
        if row is None:
            _require(connection, model)
            raise RegistryError(
                "unknown_version",
                f"model {model!r} has no version {digest}; `headrace models show {model}` lists its versions",
            )
    version = version_of(row)
    return version if told else msgspec.structs.replace(version, relayed=False)


def is_relayed(version: RegisteredVersion) -> bool:
    """Whether an answer of `resolve` may be kept for a moment: what is not relayed yet soon will be."""
    return version.relayed


def show(engine: Engine, model: str) -> RegisteredModel:
    """One model. RegistryError(unknown_model)."""
    with engine.connect() as connection:
        _require(connection, model)
        return _models(connection, model)[0]


def listed(engine: Engine) -> tuple[RegisteredModel, ...]:
    """Every model, by name."""
    with engine.connect() as connection:
        return _models(connection, None)


def versions(engine: Engine, model: str) -> tuple[RegisteredVersion, ...]:
    """Every version of a model, newest first. RegistryError(unknown_model)."""
    with engine.connect() as connection:
        _require(connection, model)
        rows = connection.execute(
            text(_VERSION + "WHERE v.model = :model ORDER BY v.published_at DESC, v.digest"), {"model": model}
        ).all()
    return tuple(version_of(row) for row in rows)


def version_in(connection: Connection, digest: str) -> RegisteredVersion | None:
    """The version with this digest, of whatever model, or None."""
    row = connection.execute(text(_VERSION + "WHERE v.digest = :digest"), {"digest": digest}).one_or_none()
    return None if row is None else version_of(row)


def version_of(row: Row[tuple[object, ...]]) -> RegisteredVersion:
    return RegisteredVersion(
        model=row.model,
        digest=row.digest,
        pool=row.pool,
        manifest=_manifests.get(row.digest, lambda: decode_manifest(row.manifest.encode(), row.digest)),
        published_ms=row.published_ms,
        published_by=row.published_by,
        relayed=row.relayed,
        withdrawn=row.withdrawn,
    )


def _models(connection: Connection, model: str | None) -> tuple[RegisteredModel, ...]:
    only = {"model": model}
    where = "WHERE (CAST(:model AS text) IS NULL OR {} = :model)"
    aliases: dict[str, list[RegisteredAlias]] = {}
    for row in connection.execute(
        text("SELECT * FROM registry.aliases " + where.format("model") + " ORDER BY model, alias"), only
    ):
        aliases.setdefault(row.model, []).append(RegisteredAlias(row.alias, row.version, row.move))
    digests: dict[str, list[str]] = {}
    for row in connection.execute(
        text(
            "SELECT model, digest FROM registry.versions "
            + where.format("model")
            + " ORDER BY model, published_at DESC, digest"
        ),
        only,
    ):
        digests.setdefault(row.model, []).append(row.digest)
    return tuple(
        RegisteredModel(row.name, row.pool, tuple(aliases.get(row.name, ())), tuple(digests.get(row.name, ())))
        for row in connection.execute(
            text("SELECT name, pool FROM registry.models " + where.format("name") + " ORDER BY name"), only
        )
    )


def _require(connection: Connection, model: str) -> None:
    if (
        connection.execute(
            text("SELECT 1 FROM registry.models WHERE name = :model"), {"model": model}
        ).scalar_one_or_none()
        is None
    ):
        raise unknown_model(model)


def unknown_pool(pool: str, known: Sequence[str]) -> RegistryError:
    return RegistryError(
        "unknown_pool",
        f"expected one of the pools {', '.join(known) or '(none yet)'}, found {pool[:80]!r};"
        " add the pool to the policy and apply it first",
    )


def bound_elsewhere(model: str, bound: str, pool: str) -> RegistryError:
    return RegistryError(
        "conflict",
        f"model {model!r} is bound to pool {bound!r} for ever, found pool {pool!r}:"
        " publish to the pool of the model, or give the model another name",
    )


def unknown_model(model: str) -> RegistryError:
    return RegistryError(
        "unknown_model", f"no model is named {model[:80]!r}; `headrace models list` has them, or publish this one"
    )


def unknown_alias(connection: Connection, model: str, alias: str) -> RegistryError:
    _require(connection, model)
    names = (
        connection.execute(
            text("SELECT alias FROM registry.aliases WHERE model = :model ORDER BY alias"), {"model": model}
        )
        .scalars()
        .all()
    )
    return RegistryError(
        "unknown_alias",
        f"model {model!r} has no alias {alias!r}, only {', '.join(names) or 'none yet'};"
        f" set the alias with `headrace models promote {model} --alias {alias}`, or name a version",
    )
