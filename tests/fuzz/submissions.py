"""The public door for Kafka producers: a record of `submissions`, and everything behind intake's admission."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest

from contract import bounds
from contract.codec import TYPE_PREFIX, encode, headers_for
from contract.names import TRACEPARENT
from contract.side_topics import SubmissionRequested
from operations.quarantine import entry_of
from runtime.kafka import Record
from streams.door.admission import NotYet, Refused
from streams.door.quarantine import quarantine_record
from tests.fuzz.behind import Behind
from tests.fuzz.door import Door
from tests.fuzz.mutations import changed, mostly_good
from tests.fuzz.records import record
from tests.properties.streams.registry_in_memory import VERSION, an_admission
from tests.unit.scheduling.specification import CPU, START_MS

WORDS = "a violet walrus"
"""A word that stands in most records. No reason for a refusal may repeat it."""
SubmissionsRecord = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]
ODD_BYTES = (None, b"", b"\0", b"\xff", b"1", b"x" * 201, b"x" * 70_000, "\u00e9".encode(), b"00-" + b"0" * 52)


def submission(chance: Random) -> SubmissionsRecord:
    tenant = chance.choice(("acme", "a", "b.c_d-e", "x" * 63))
    made = msgspec.structs.replace(
        record(chance, SubmissionRequested),
        tenant=tenant,
        tier=chance.choice(("free", "api", "nobody-has-this-tier")),
        model=chance.choice(("echo", "echo@live", f"echo@{VERSION}", "new")),
        inputs=msgspec.Raw(
            msgspec.json.encode({"prompt": WORDS, "n": chance.choice((1, 0.5, None, [1], {"a": 2**64 - 1}))})
        ),
    )
    headers: list[tuple[str, bytes | None]] = [
        ("ce_source", b"test"),
        ("ce_id", str(chance.randrange(5)).encode()),
        ("traceparent", b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"),
    ]
    key: bytes | None = tenant.encode()
    value: bytes | None = encode(made)
    match chance.randrange(10):
        case 0:
            key = chance.choice(ODD_BYTES)
        case 1:
            name = chance.choice(("ce_source", "ce_id", "traceparent", "content-type", "\\xff", ""))
            headers.insert(chance.randrange(4), (name, chance.choice(ODD_BYTES)))
        case 2:
            headers = headers * 50
        case 3:
            del headers[chance.randrange(3)]
        case 4 | 5 | 6:
            value = mostly_good(chance, encode(made))
        case 7:
            value = chance.choice((None, b"", changed(chance, encode(made)), chance.randbytes(30)))
    return key, value, headers


def check_refusal(offered: Record, reason: str) -> None:
    """The reason quotes nobody, and the record of `quarantine` fits its topic and is shown with its place."""
    assert WORDS not in reason
    assert "no check foresaw" not in reason
    headers, value = quarantine_record(
        "headrace/intake", "0-7", "submissions", 0, 7, reason, offered.value, len(offered.value or b"")
    )
    assert len(value) + sum(len(name) + len(text) for name, text in headers) <= bounds.REFUSAL_BYTES_MAX
    entry = entry_of(Record("quarantine", 0, 1, START_MS, None, value, list(headers)))
    assert (entry.place.topic, entry.place.offset, entry.reason) == ("submissions", 7, reason)
    assert (offered.value or b"").startswith(entry.value)


def feed_submission(example: SubmissionsRecord) -> bool:
    key, value, headers = example
    given: Any = headers
    offered = Record("submissions", 0, 7, START_MS, key, value, given)
    patch = pytest.MonkeyPatch()
    try:
        door = an_admission(patch)
        try:
            admitted = door.admit(offered, patient=True)
        except NotYet:
            admitted = door.admit(offered, patient=False)  # only what would be taken waits
    except Refused as refused:
        check_refusal(offered, str(refused))
        raise
    finally:
        patch.undo()
    assert admitted.traceparent == "" or TRACEPARENT.fullmatch(admitted.traceparent)
    for name, text in headers_for(admitted.record, "0-1", "headrace/intake", admitted.traceparent):
        assert name.isascii()
        assert text.isascii()
        assert not name.startswith("ce_type") or text.startswith(TYPE_PREFIX.encode())
    written = encode(admitted.record)
    assert len(written) < len(value or b"") + 2_000
    behind = Behind()
    for model in ("echo", "new"):
        behind.pool.publish(model, CPU)
    refusal = behind.take(written, b"a key of intake's")
    assert refusal == "", "what intake passes on, the scheduler takes"
    behind.read_by_all()
    return True


DOORS = (
    Door(
        "submissions, by intake",
        submission,
        feed_submission,
        ("contract.codec.decode_submission", "streams.door.admission.Admission.admit"),
        (Refused,),
        bounds.TEXT_MAX,
    ),
)
