"""API keys: who a request comes from. Only the sha256 of a secret is stored.

A secret has 256 random bits, so nobody can find the secret of a hash by trying, and the time of a look-up by hash tells
nothing about the secret of another key. A tenant exists because it has keys.

A key is written `hr_ID_SECRETSUM` in letters and digits: the id that `headrace keys list` shows, the secret, and a sum
over all before it. So scanners for secrets find keys by PATTERN, and a key that is cut or mistyped is refused before
anybody asks the database. Keys of older releases have neither id nor sum, and work on.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib
from functools import partial
from typing import Literal

import msgspec
from sqlalchemy import Engine, text

from contract.names import is_name
from registry.answers import Answers
from registry.errors import RegistryError

PREFIX = "hr_"
PATTERN = "hr_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}"
"""The form of a key, for scanners for secrets: an id of 12 characters, a secret of 43 and a sum of 6."""
KEPT_MAX = 10_000

_WITH_SUM = re.compile(PATTERN)
_OLD = re.compile("hr_[0-9A-Za-z_-]{43}")
"""Keys that releases before this form made: 32 bytes in base64."""
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_CHARACTERS, _SUM_CHARACTERS = 12, 6
_SECRET_CHARACTERS = 43
"""62**43 > 2**256."""


class Key(msgspec.Struct, frozen=True):
    """What a secret stands for."""

    id: str
    """Names the key in lists and for revoking. It tells nothing about the secret."""
    tenant: str
    tiers: tuple[str, ...]
    """The tiers its jobs may have; the first is the default."""
    scope: Literal["user", "operator"]


class ListedKey(msgspec.Struct, frozen=True):
    key: Key
    created_ms: int
    revoked_ms: int
    """0: in force."""


def create(
    engine: Engine, tenant: str, tiers: tuple[str, ...] | list[str], scope: Literal["user", "operator"] = "user"
) -> str:
    """Makes a key and returns its secret, `hr_…`, which nobody can see again. RegistryError(invalid) for a bad name."""
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
    id, secret = draw()
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO registry.keys (sha256, id, tenant, tiers, scope)"
                " VALUES (:sha256, :id, :tenant, :tiers, :scope)"
            ),
            {
                "sha256": digest_of(secret),
                "id": id,
                "tenant": tenant,
                "tiers": list(tiers),
                "scope": scope,
            },
        )
    return secret


def draw() -> tuple[str, str]:
    """The id and the secret of a new key, which is in no database yet."""
    id = _drawn(_ID_CHARACTERS)
    before = f"{PREFIX}{id}_{_drawn(_SECRET_CHARACTERS)}"
    return f"key_{id}", before + _sum_of(before)


def could_be(secret: str) -> bool:
    """Whether some database may have a key of this text. False: the text is cut, mistyped or made up."""
    if _WITH_SUM.fullmatch(secret):
        return _sum_of(secret[:-_SUM_CHARACTERS]) == secret[-_SUM_CHARACTERS:]
    return _OLD.fullmatch(secret) is not None


def resolve(engine: Engine, secret: str) -> Key | None:
    """The key in force with this secret, or None."""
    return _resolve(engine, digest_of(secret))


def revoke(engine: Engine, id: str) -> bool:
    """Ends a key by its id; False when it was revoked before. RegistryError(not_found)."""
    return bool(_revoke(engine, id))


def listed(engine: Engine, tenant: str | None = None) -> tuple[ListedKey, ...]:
    """Every key (of one tenant), oldest first, revoked keys too. Secrets are not in it."""
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


class Keyring:
    """Resolves secrets for a process that asks often. An answer is kept for `ttl_s` seconds, so a key that another
    process revokes still works here for that time. Unknown secrets are never kept. Threads may share a keyring."""

    def __init__(self, engine: Engine, ttl_s: float, kept_max: int = KEPT_MAX) -> None:
        self._engine = engine
        self._keys: Answers[str, Key | None] = Answers(kept_max, ttl_s)

    def resolve(self, secret: str) -> Key | None:
        """The key in force with this secret, or None."""
        digest = digest_of(secret)
        return self._keys.get(digest, partial(_resolve, self._engine, digest))

    def kept(self, secret: str) -> Key | None:
        """The key, if the answer is kept. Asks nobody, so an event loop may call it."""
        return self._keys.kept(digest_of(secret))

    def revoke(self, id: str) -> bool:
        """`revoke`, and this keyring forgets the key at once."""
        digest = _revoke(self._engine, id)
        if digest:
            self._keys.forget(digest)
        return bool(digest)


def _resolve(engine: Engine, digest: str) -> Key | None:
    with engine.connect() as connection:
        row = connection.execute(
            text("SELECT id, tenant, tiers, scope FROM registry.keys WHERE sha256 = :sha256 AND revoked_at IS NULL"),
            {"sha256": digest},
        ).one_or_none()
    return None if row is None else Key(row.id, row.tenant, tuple(row.tiers), row.scope)


def _revoke(engine: Engine, id: str) -> str:
    """The hash of the secret that is revoked now; empty when it was revoked before. RegistryError(not_found)."""
    with engine.begin() as connection:
        digest: str | None = connection.execute(
            text(
                "UPDATE registry.keys SET revoked_at = clock_timestamp() WHERE id = :id AND revoked_at IS NULL"
                " RETURNING sha256"
            ),
            {"id": id},
        ).scalar_one_or_none()
        known = text("SELECT id FROM registry.keys WHERE id = :id")
        if digest is None and connection.execute(known, {"id": id}).first() is None:
            raise RegistryError("not_found", f"no key has the id {id[:80]!r}; `headrace keys list` shows the keys")
    return digest or ""


def _drawn(characters: int) -> str:
    return "".join(secrets.choice(_DIGITS) for _ in range(characters))


def _sum_of(text: str) -> str:
    """CRC32 in base 62: it finds errors of copying, and keeps no secret."""
    rest, digits = zlib.crc32(text.encode()), ""
    for _ in range(_SUM_CHARACTERS):
        rest, digit = divmod(rest, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits


def digest_of(secret: str) -> str:
    """What is stored of a secret, and kept of it in memory."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
