"""Seals on what steers us from the object store, where others may write too: snapshots, and intake's place.

A seal is an HMAC-SHA256 by a key that only the writer's role has: schedulers derive it from the installation's key, as
they derive every writer's (contract.signing), and intake from its own. Nodes have neither. So whoever may write into
the bucket can remove what we keep, or put back an older one, and cannot make one: the store may lose, never lie.

The seal of a snapshot stands in its name and binds the pool, offset and time of the last record folded, and the hash
and size of the bytes. So a name that is no name of ours costs no download.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from contract.signing import InstallationKey, SigningKey, hkdf_sha256
from contract.snapshot_names import SnapshotName, key_of, stem_of

NO_KEYS = "this scheduler has no installation keys, and believes no snapshot but those on its own disk"
UNSEALED = "it has no seal: a release before seals, a scheduler without keys, or somebody else wrote it"
OTHER_KEY = "its seal is by an installation key that is not in force"
WRONG = "its seal does not fit its name: somebody else wrote it"

_OF_SNAPSHOTS, _OF_PLACES = b"headrace/snapshots/1", b"headrace/places/1"


class SnapshotSeals:
    """What a scheduler names its snapshots with, and tells them from others by."""

    def __init__(self, keys: Sequence[InstallationKey]) -> None:
        """`keys`: those in force, the newest first. None: nothing is sealed."""
        self._secrets = {key.id: hkdf_sha256(key.secret, _OF_SNAPSHOTS, b"", 32) for key in keys}

    @property
    def are_made(self) -> bool:
        return bool(self._secrets)

    def key_of(self, pool: str, offset: int, now_ms: int, data: bytes) -> str:
        """Under which key of the store a snapshot lies."""
        for key_id, secret in self._secrets.items():  # the newest is the first
            stem = stem_of(pool, offset, now_ms, data)
            return f"{stem}-{key_id}-{_tag(secret, stem)}"
        return key_of(pool, offset, now_ms, data)

    def refusal_of(self, name: SnapshotName) -> str:
        """Why this name is not believed to be one that a scheduler of this installation gave; empty when it is."""
        if not self._secrets:
            return NO_KEYS
        if not name.tag:
            return UNSEALED
        secret = self._secrets.get(name.key_id)
        if secret is None:
            return OTHER_KEY
        stem = name.key.removesuffix(f"-{name.key_id}-{name.tag}")
        return "" if hmac.compare_digest(_tag(secret, stem), name.tag) else WRONG


class PlaceSeals:
    """What intake seals its places with."""

    def __init__(self, key: SigningKey | None) -> None:
        """`key`: intake's own. None: nothing is sealed, and everything fits."""
        self._secret = None if key is None else hkdf_sha256(key.secret, _OF_PLACES, b"", 32)

    def seal_of(self, partition: int, place: bytes) -> str:
        """Of these bytes, as the place in this partition; empty without a key."""
        if self._secret is None:
            return ""
        return hmac.digest(self._secret, b"%d " % partition + place, "sha256").hex()

    def fits(self, partition: int, place: bytes, seal: str) -> bool:
        return self._secret is None or hmac.compare_digest(self.seal_of(partition, place).encode(), seal.encode())


def _tag(secret: bytes, stem: str) -> str:
    return hmac.digest(secret, stem.encode(), "sha256").hex()
