"""Doors before the door of `jobs`: signatures of its records, and the batches in which records come from a broker."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from random import Random
from typing import Any

import cramjam
from aiokafka.structs import TopicPartition

from contract.codec import body_of
from contract.signers import INTAKE, node_signer, operator_signer, refusal_of
from contract.signing import SIGNATURE_HEADER, InstallationKey, RecordSigner, SignatureRefused, Verifier
from runtime.kafka import Record
from streams.door import jobs_door
from streams.door.signatures import Signatures
from streams.hosting.fetching import FetchedBatches
from streams.hosting.unpacking import Unpackable, unpacked
from tests.fuzz.door import Door
from tests.fuzz.mutations import changed
from tests.fuzz.records import record
from tests.fuzz.topics import KEYS, WIRE, headers
from tests.unit.streams.batches import batch, sealed

KEY, ANOTHER = InstallationKey(b"k" * 32), InstallationKey(b"x" * 32)
NAMES = (
    "api",
    INTAKE,
    "relay",
    operator_signer("ada"),
    *(node_signer(cluster, node) for cluster in ("east", "west") for node in ("n1", "n2")),
)
CODECS: dict[int, Callable[[bytes], bytes]] = {
    0: bytes,
    1: gzip.compress,
    4: lambda data: bytes(cramjam.zstd.compress(data)),
}

SignedLine = tuple[bytes, bytes, list[tuple[str, bytes | None]], bool]
"""Value, key, headers, and whether they are as they were signed."""


def signed_line(chance: Random) -> SignedLine:
    said, key = record(chance, chance.choice(WIRE)), KEY if chance.random() < 0.9 else ANOTHER
    name = chance.choice(NAMES) if chance.random() < 0.1 else writer_of(said)
    made = RecordSigner(key.of(name)).record(
        said, partition=0, key=b"key", event_id=str(chance.random()), source="/fuzz"
    )
    value, given = made.value or b"", [*headers(chance), *made.headers]
    if chance.random() < 0.7:
        return value, made.key, list(given), key is KEY
    at = chance.randrange(4)
    if at == 0:
        return changed(chance, value) + b" ", made.key, list(given), False
    if at == 1:
        return value, chance.choice(KEYS[-4:]) or b"", list(given), False
    if at == 2:
        return value, made.key, [(n, t) for n, t in given if n != SIGNATURE_HEADER], False
    texts = [(n, changed(chance, t or b"") + b"0" if n == SIGNATURE_HEADER else t) for n, t in given]
    return value, made.key, texts, key is KEY and texts == given  # what cuts a last 0 off changes nothing


def writer_of(said: Any) -> str:
    """Who may say this."""
    body = body_of(said)
    fitting = [name for name in NAMES if not refusal_of(name, body)]
    return fitting[0] if fitting else NAMES[0]


def feed_signed(line: SignedLine) -> bool:
    value, key, given, right = line
    unchecked: Any = Record("jobs", 0, 7, 1, key, value, given)  # type: ignore[arg-type]
    checked = jobs_door.read(unchecked, Signatures(Verifier([KEY]), 0))
    assert "no check foresaw" not in checked.refusal
    if checked.refusal:
        assert checked.given.signer == ""
        return False
    assert right, "taken, though it is not as it was signed"
    assert not refusal_of(checked.given.signer, checked.given.body)
    try:
        Verifier([ANOTHER]).signer_of(0, given, key, value)
    except SignatureRefused:
        return True
    raise AssertionError("a signature by one key was taken as one by another")


def packed(chance: Random) -> bytes:
    """A batch as a broker keeps it, perhaps with other bytes in it, and the right sum all the same."""
    records = [(b"k", b"v" * chance.choice((0, 1, 5_000)), [("a", None)]) for _ in range(chance.randint(1, 4))]
    plain, codec = batch(7, records), chance.choice(tuple(CODECS))
    body = CODECS[codec](plain[61:])
    raw = bytearray(plain[:61] + (body if chance.random() < 0.6 else changed(chance, body)))
    raw[8:12] = (len(raw) - 12).to_bytes(4, "big")
    raw[22] |= codec if chance.random() < 0.9 else chance.randrange(8)
    return sealed(raw)


def feed_packed(raw: bytes) -> bool:
    fetch = FetchedBatches(raw)
    fetch.partition = TopicPartition("ledger", 0)
    found = fetch.next_batch()
    assert found is not None
    offsets = [one.offset for one in found]
    assert offsets == sorted(set(offsets))
    assert all(7 <= offset < found.next_offset for offset in offsets)
    unpacked(memoryview(raw))
    return True


DOORS = (
    Door("jobs, signed, by the scheduler", signed_line, feed_signed, ("contract.signing.claimed",)),
    Door("a packed batch, by a processor", packed, feed_packed, (), (Unpackable,)),
)
