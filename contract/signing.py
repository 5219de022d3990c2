"""Signatures of the records of `jobs`: whoever reads one knows which process or operator wrote it.

Theory of operation. Kafka's own rights end at the topic, and everybody who has something to say says it in `jobs`. So
each record carries an HMAC-SHA256 by its writer's key. That key is derived (HKDF) from the installation's key and the
writer's name (contract.signers): the scheduler's host has the installation's key and derives whichever it needs; a
writer has only its own and can be nobody else. Two installation keys may be in force, so that one can be replaced while
everything runs.

The HMAC is over the partition of `jobs`, which stands for the pool, and over type, source and id of the CloudEvent, the
record's key and its value. Each part goes in after its length, so no two records have the same bytes to sign.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cachetools import LRUCache

from contract.codec import Headers, encode, headers_for
from contract.inputs import Wire
from contract.signers import is_signer, role_of

SIGNATURE_HEADER = "headrace_signature"
"""Its text: the signer, the id of the installation key, and the HMAC in hex digits, with a space between."""

INSTALLATION_KEYS_MAX = 2
TOMBSTONE = "Tombstone.v1"
"""`ce_type` of a tombstone, which has no value to carry a tag."""

UNSIGNED = "expected a signed record, found one without a signature"
ILL_SIGNED = "expected one signature: signer, key and HMAC, found another form"
OTHER_KEY = "expected a signature by an installation key in force, found one by another key"
WRONG = "expected a signature that fits the record, found one that does not"

_SALT = b"headrace/jobs/1"
_OF_KEY_ID, _OF_SIGNER, _OF_TOKENS = b"key id", b"signer ", b"join tokens"
_ABSENT = b"\xff" * 8
"""In the place of a length: the part is not there. No part is as long as that."""
_SIGNED_PARTS = ("ce_type", "ce_source", "ce_id")
_HEX_KEY = re.compile(r"[0-9a-f]{64}")
_KEY_ID = re.compile(r"[0-9a-f]{8}")
_SIGNATURE = re.compile(rb"([a-z0-9._/-]{1,200}) ([0-9a-f]{8}) [0-9a-f]{64}")
_DERIVED_MAX = 10_000
"""Keys of signers that one host keeps. It derives a key that it does not keep anew, in microseconds."""

GivenHeaders = Sequence[tuple[str, bytes | None]]


class SignatureRefused(ValueError):
    """The record is signed by nobody who may write it. The message is a fixed phrase."""


@dataclass(frozen=True, slots=True)
class InstallationKey:
    """The secret from which every writer's key is derived."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """8 hex digits, which tell nothing of the secret."""
        return hkdf_sha256(self.secret, _SALT, _OF_KEY_ID, 4).hex()

    def for_tokens(self) -> bytes:
        """The secret of contract.join_tokens."""
        return hkdf_sha256(self.secret, _SALT, _OF_TOKENS, 32)

    def of(self, signer: str) -> SigningKey:
        """The signer's own key. ValueError when the text names no signer."""
        role_of(signer)
        secret = hkdf_sha256(self.secret, _SALT, _OF_SIGNER + signer.encode(), 32)
        return SigningKey(signer, self.id, secret)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A writer's own key."""

    signer: str
    key_id: str
    """Of the installation key from which this one was derived."""
    secret: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """As a setting has it: the id, a dot, and the secret. Never log it."""
        return f"{self.key_id}.{self.secret.hex()}"

    def signature(self, partition: int, headers: GivenHeaders, key: bytes | None, value: bytes | None) -> bytes:
        """The text of the header."""
        digest = hmac.digest(self.secret, _to_sign(partition, self.signer, headers, key, value), "sha256")
        return f"{self.signer} {self.key_id} {digest.hex()}".encode()


class SignedRecord(NamedTuple):
    """A record of `jobs`, ready to be written to its partition."""

    partition: int
    value: bytes | None
    key: bytes
    headers: Headers


class RecordSigner:
    """Makes the records that one writer writes to `jobs`. Nothing else makes one."""

    def __init__(self, key: SigningKey | None) -> None:
        """None: nothing is signed, for an installation without keys."""
        self._key = key

    @property
    def signs(self) -> bool:
        return self._key is not None

    def record(
        self, said: Wire, *, partition: int, key: bytes, event_id: str, source: str, traceparent: str = ""
    ) -> SignedRecord:
        """The record that says this. No other record may have the same `source` and `event_id`."""
        value = encode(said)
        return self._signed(partition, value, key, headers_for(said, event_id, source, traceparent))

    def tombstone(self, *, partition: int, key: bytes, event_id: str, source: str) -> SignedRecord:
        """The record that buries what has this key."""
        headers = [("ce_id", event_id.encode()), ("ce_source", source.encode()), ("ce_type", TOMBSTONE.encode())]
        return self._signed(partition, None, key, headers)

    def _signed(self, partition: int, value: bytes | None, key: bytes, headers: Headers) -> SignedRecord:
        if self._key is not None:
            headers = [*headers, (SIGNATURE_HEADER, self._key.signature(partition, headers, key, value))]
        return SignedRecord(partition, value, key, headers)


class Verifier:
    """What the scheduler's host checks signatures with."""

    def __init__(self, keys: Sequence[InstallationKey]) -> None:
        self.keys = tuple(keys)
        self._keys = {key.id: key for key in keys}
        self._derived: LRUCache[tuple[str, str], SigningKey] = LRUCache(_DERIVED_MAX)

    def signer_of(self, partition: int, headers: GivenHeaders, key: bytes | None, value: bytes | None) -> str:
        """Who signed this record. SignatureRefused when nobody of this installation did."""
        signer, key_id, found = claimed(headers)
        known = self._derived.get((key_id, signer))
        if known is None:
            if key_id not in self._keys:
                raise SignatureRefused(OTHER_KEY)
            known = self._derived[key_id, signer] = self._keys[key_id].of(signer)
        if not hmac.compare_digest(known.signature(partition, headers, key, value), found):
            raise SignatureRefused(WRONG)
        return signer


class ClaimedSignature(NamedTuple):
    """What a record says of its signature, which nobody has checked."""

    signer: str
    key_id: str
    text: bytes


def claimed(headers: GivenHeaders) -> ClaimedSignature:
    """What these headers say of the signature. SignatureRefused when they have none, or none of this form."""
    found = [value for name, value in headers if name == SIGNATURE_HEADER]
    if not found:
        raise SignatureRefused(UNSIGNED)
    text = found[0] or b""
    match = _SIGNATURE.fullmatch(text)
    if len(found) > 1 or match is None or not is_signer(signer := match[1].decode()):
        raise SignatureRefused(ILL_SIGNED)
    return ClaimedSignature(signer, match[2].decode(), text)


def installation_keys(text: str) -> tuple[InstallationKey, ...]:
    """The keys of a setting, with commas between; the first one is the newest. ValueError, which quotes nothing."""
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if len(parts) > INSTALLATION_KEYS_MAX or len(set(parts)) < len(parts):
        raise ValueError(f"expected at most {INSTALLATION_KEYS_MAX} installation keys that differ, found {len(parts)}")
    if not all(_HEX_KEY.fullmatch(part) for part in parts):
        raise ValueError("expected installation keys of 64 hex digits each, found another form")
    return tuple(InstallationKey(bytes.fromhex(part)) for part in parts)


def signing_key(signer: str, text: str) -> SigningKey:
    """The key of a setting, as SigningKey.text wrote it. ValueError, which quotes nothing of the key."""
    role_of(signer)
    key_id, _, secret = text.strip().partition(".")
    if not _KEY_ID.fullmatch(key_id) or not _HEX_KEY.fullmatch(secret):
        raise ValueError("expected a signing key as `headrace keys derive` prints it, found another form")
    return SigningKey(signer, key_id, bytes.fromhex(secret))


def hkdf_sha256(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869 with SHA-256: `length` bytes, at most 8,160."""
    extracted = hmac.digest(salt or bytes(32), secret, "sha256")
    made, block = b"", b""
    for number in range(1, -(-length // 32) + 1):
        block = hmac.digest(extracted, block + info + bytes([number]), "sha256")
        made += block
    return made[:length]


def _to_sign(partition: int, signer: str, headers: GivenHeaders, key: bytes | None, value: bytes | None) -> bytes:
    given = dict(headers)
    parts = [str(partition).encode(), signer.encode(), *(given.get(name) for name in _SIGNED_PARTS), key, value]
    return b"".join(_ABSENT if part is None else len(part).to_bytes(8, "big") + part for part in parts)
