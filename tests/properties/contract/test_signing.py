"""A signature holds for one record only: whatever is changed in the record, or moved between its parts, is found."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.codec import encode
from contract.signing import InstallationKey, RecordSigner, SignatureRefused, SignedRecord, Verifier
from tests.fuzz.records import record as any_record
from tests.fuzz.topics import WIRE

SAID = st.builds(lambda seed, kind: any_record(Random(seed), kind), st.integers(0, 10_000), st.sampled_from(WIRE))
KEY = InstallationKey(b"k" * 32)
VERIFIER = Verifier([KEY])
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
SIGNED = ("ce_type", "ce_source", "ce_id")


def signer_of(record: SignedRecord) -> str:
    try:
        return VERIFIER.signer_of(record.partition, record.headers, record.key, record.value)
    except SignatureRefused:
        return ""


@settings(max_examples=60, derandomize=True, deadline=None)
@given(SAID, st.integers(0, 9), TEXTS, TEXTS, TEXTS, st.sampled_from(("api", "operator.ada", "node.east/n1")))
def test_what_was_signed_is_known(said: Any, partition: int, key: str, event_id: str, source: str, signer: str) -> None:
    record = RecordSigner(KEY.of(signer)).record(
        said, partition=partition, key=key.encode(), event_id=event_id, source=source, traceparent="x"
    )
    assert record.value == encode(said)
    assert signer_of(record) == signer


@settings(max_examples=60, derandomize=True, deadline=None)
@given(SAID, TEXTS, TEXTS, TEXTS, st.data())
def test_whatever_is_changed_is_found(said: Any, key: str, event_id: str, source: str, data: st.DataObject) -> None:
    record = RecordSigner(KEY.of("api")).record(said, partition=1, key=key.encode(), event_id=event_id, source=source)
    value, headers = record.value or b"", dict(record.headers)
    other = data.draw(st.sampled_from((0, 2, 11)))
    assert signer_of(record._replace(partition=other)) == ""
    assert signer_of(record._replace(value=None)) == ""
    assert signer_of(record._replace(value=value + b" ")) == ""
    assert signer_of(record._replace(key=record.key + b"x")) == ""
    at = data.draw(st.integers(0, len(value) - 1))
    assert signer_of(record._replace(value=value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :])) == ""
    moved = record._replace(key=record.key + value[:1], value=value[1:])
    assert signer_of(moved) == "", "a byte that moves from one part to the next one"
    for name in SIGNED:
        changed = headers | {name: headers[name] + b"x"}
        assert signer_of(record._replace(headers=list(changed.items()))) == ""
        gone = {known: text for known, text in headers.items() if known != name}
        assert signer_of(record._replace(headers=list(gone.items()))) == ""
    swapped = headers | {"ce_id": headers["ce_source"], "ce_source": headers["ce_id"]}
    if swapped != headers:
        assert signer_of(record._replace(headers=list(swapped.items()))) == ""
