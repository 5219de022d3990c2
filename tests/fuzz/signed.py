"""Doors before the door of `jobs`: signatures and join tokens of its records, and the batches in which records come
from a broker."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from random import Random
from typing import Any

import cramjam
from aiokafka.structs import TopicPartition

from contract.codec import body_of
from contract.inputs import NodeJoined
from contract.join_tokens import JOIN_TOKEN_HEADER, TOKEN_LIFE_MAX_MS, make
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


TOKEN_AT_MS = 1_790_000_000_000
LIVES_MS = (-1, 0, 60_000, TOKEN_LIFE_MAX_MS, TOKEN_LIFE_MAX_MS + 1, 10**12)
LIVES_WEIGHTS = (5, 5, 5, 5, 1, 1)
TokenLine = tuple[str, str, list[tuple[str, bytes | None]]]
"""Cluster and node that join, and the headers of the join but its signature."""


def token_line(chance: Random) -> TokenLine:
    clusters, nodes = ("east", "west"), ("n1", "n2")
    cluster, node = chance.choice(clusters), chance.choice(nodes)
    tokens: list[tuple[str, bytes | None]] = []
    for _ in range(chance.choice((0, 1, 1, 1, 1, 1, 1, 2))):
        key = KEY if chance.random() < 0.95 else ANOTHER
        whose = (cluster, node) if chance.random() < 0.8 else (chance.choice(clusters), chance.choice(nodes))
        text = make(key, *whose, TOKEN_AT_MS + chance.choices(LIVES_MS, LIVES_WEIGHTS)[0]).encode()
        tokens.append((JOIN_TOKEN_HEADER, text if chance.random() < 0.85 else changed(chance, text)))
    return cluster, node, [*headers(chance), *tokens]


def feed_token(line: TokenLine) -> bool:
    """Whatever stands in the header, the join is taken, and nothing of the header is in what the ledger keeps."""
    cluster, node, given = line
    said = NodeJoined(node, "s1", cluster, "cpu", 1, 0, 1_000)
    made = RecordSigner(KEY.of(node_signer(cluster, node))).record(
        said, partition=0, key=b"key", event_id="1", source="/fuzz"
    )
    unchecked: Any = Record("jobs", 0, 7, TOKEN_AT_MS, made.key, made.value, [*made.headers, *given])  # type: ignore[list-item]
    checked = jobs_door.read(unchecked, Signatures(Verifier([KEY]), 0))
    if checked.refusal:  # another header may be one that is signed
        return False
    until_ms = checked.given.token_until_ms
    assert 0 <= until_ms <= TOKEN_AT_MS + TOKEN_LIFE_MAX_MS
    tokens = [text for name, text in given if name == JOIN_TOKEN_HEADER]
    assert not until_ms or tokens == [make(KEY, cluster, node, until_ms).encode()]
    return until_ms > 0


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
    Door("a join token, by the scheduler", token_line, feed_token, ("contract.join_tokens.good_until_ms",)),
    Door("a packed batch, by a processor", packed, feed_packed, (), (Unpackable,)),
)
