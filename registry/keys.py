"""API keys: who a request comes from. Only the sha256 of a secret is kept.

A secret has 256 random bits, so a plain hash can't be searched for, and finding a row by that hash takes no time that
tells anything of another key's secret. Tenants exist through their keys.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from typing import Literal
from weakref import WeakKeyDictionary

import msgspec
from sqlalchemy import Engine, text

from contract.names import is_name
from registry.errors import RegistryError

PREFIX = "hr_"
CACHED_MAX = 10_000


class Key(msgspec.Struct, frozen=True):
    """What a secret stands for."""

    id: str
    """Names the key in lists and for revoking; tells nothing of the secret."""
    tenant: str
    tiers: tuple[str, ...]
    """The tiers its jobs may have; the first is the default."""
    scope: Literal["user", "operator"]


class ListedKey(msgspec.Struct, frozen=True):
    key: Key
    created_ms: int
    revoked_ms: int
    """0: in force."""


_cache: WeakKeyDictionary[Engine, dict[str, tuple[float, Key]]] = WeakKeyDictionary()
_cache_lock = threading.Lock()


def create(
    engine: Engine, tenant: str, tiers: tuple[str, ...] | list[str], scope: Literal["user", "operator"] = "user"
) -> str:
    """A new key's secret, `hr_…`: this is the only time it can be seen. RegistryError(invalid) for a bad name."""
    for noun, names in (("tenant", [tenant]), ("tier", list(tiers) or [""])):
        for name in names:
            if not is_name(name):
                raise RegistryError(
                    "invalid",
                    f"expected a {noun} name of lower case letters, digits, '.', '_', '-', at most 63,"
                    f" found {name[:80]!r}",
                )
    if scope not in ("user", "operator"):
        raise RegistryError("invalid", f"expected scope user or operator, found {scope[:80]!r}")
    secret = PREFIX + secrets.token_urlsafe(32)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO registry.keys (sha256, id, tenant, tiers, scope)"
                " VALUES (:sha256, :id, :tenant, :tiers, :scope)"
            ),
            {
                "sha256": _hash(secret),
                "id": "key_" + secrets.token_hex(8),
                "tenant": tenant,
                "tiers": list(tiers),
                "scope": scope,
            },
        )
    return secret


def resolve(engine: Engine, secret: str, ttl_s: float = 0) -> Key | None:
    """The key in force with this secret, or None. With `ttl_s`, an answer may be that many seconds old: so long may a
    revoked key still work in this process. Unknown secrets are never cached."""
    digest = _hash(secret)
    if ttl_s > 0:
        key = _cached(engine, digest, ttl_s)
        if key is not None:
            return key
    with engine.connect() as connection:
        row = connection.execute(
            text("SELECT id, tenant, tiers, scope FROM registry.keys WHERE sha256 = :sha256 AND revoked_at IS NULL"),
            {"sha256": digest},
        ).one_or_none()
    if row is None:
        return None
    key = Key(row.id, row.tenant, tuple(row.tiers), row.scope)
    if ttl_s > 0:
        with _cache_lock:
            known = _cache.setdefault(engine, {})
            while len(known) >= CACHED_MAX:
                known.pop(next(iter(known)))
            known[digest] = (time.monotonic(), key)
    return key


def cached(engine: Engine, secret: str, ttl_s: float) -> Key | None:
    """The key if this process resolved the secret within `ttl_s` seconds: no I/O, for event loops."""
    return _cached(engine, _hash(secret), ttl_s)


def revoke(engine: Engine, id: str) -> bool:
    """Ends a key by its id; False when it was revoked before. RegistryError(not_found)."""
    with engine.begin() as connection:
        done = connection.execute(
            text(
                "UPDATE registry.keys SET revoked_at = clock_timestamp() WHERE id = :id AND revoked_at IS NULL"
                " RETURNING sha256"
            ),
            {"id": id},
        ).scalar_one_or_none()
        if (
            done is None
            and connection.execute(text("SELECT id FROM registry.keys WHERE id = :id"), {"id": id}).first() is None
        ):
            raise RegistryError("not_found", f"no key has the id {id[:80]!r}; `keys list` shows those there are")
    if done is not None:
        with _cache_lock:
            _cache.get(engine, {}).pop(done, None)
    return done is not None


def listed(engine: Engine, tenant: str | None = None) -> tuple[ListedKey, ...]:
    """Every key (of one tenant), oldest first, revoked ones too; never a secret."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT id, tenant, tiers, scope, (extract(epoch FROM created_at) * 1000)::bigint AS created_ms,"
                " coalesce((extract(epoch FROM revoked_at) * 1000)::bigint, 0) AS revoked_ms FROM registry.keys"
                " WHERE CAST(:tenant AS text) IS NULL OR tenant = :tenant ORDER BY created_at, id"
            ),
            {"tenant": tenant},
        ).all()
    return tuple(
        ListedKey(Key(row.id, row.tenant, tuple(row.tiers), row.scope), row.created_ms, row.revoked_ms) for row in rows
    )


def _cached(engine: Engine, digest: str, ttl_s: float) -> Key | None:
    with _cache_lock:
        at, key = _cache.get(engine, {}).get(digest, (float("-inf"), None))
    return key if time.monotonic() - at <= ttl_s else None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
