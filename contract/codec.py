"""Bytes on the wire: JSON values of msgspec Structs, CloudEvents 1.0 headers in Kafka's binary mode.

The value carries its own tag, so a record can be read without its headers; `ce_type` repeats it for whoever routes
by header.
"""

from __future__ import annotations

from typing import Any

import msgspec

from contract.batch import Batch
from contract.doors import AttemptProgressed, Quarantined, SubmissionRequested
from contract.inputs import Body, JobSubmitted, Wire
from contract.orders import Order
from contract.results import ResultManifest
from contract.shadows import ShadowRecord

Headers = list[tuple[str, bytes]]

_encoder = msgspec.json.Encoder()
_wire = msgspec.json.Decoder(Wire)
_batch = msgspec.json.Decoder(Batch)
_order = msgspec.json.Decoder(Order)
_submission = msgspec.json.Decoder(SubmissionRequested)
_progress = msgspec.json.Decoder(AttemptProgressed)
_quarantined = msgspec.json.Decoder(Quarantined)
_result = msgspec.json.Decoder(ResultManifest)
_shadow = msgspec.json.Decoder(ShadowRecord)

TYPE_PREFIX = "headrace."


class Malformed(ValueError):
    """The bytes are not the record that was expected. The message names what was expected and where it differs,
    and quotes nothing of the record."""


def encode(record: msgspec.Struct) -> bytes:
    """The record's canonical bytes: field order as declared, no spaces."""
    return _encoder.encode(record)


def tag_of(record: msgspec.Struct | type[msgspec.Struct]) -> str:
    return str(record.__struct_config__.tag)


def headers_for(record: msgspec.Struct, event_id: str, source: str, traceparent: str = "") -> Headers:
    """CloudEvents headers of one record. (source, id) must be unique to it."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id.encode()),
        ("ce_source", source.encode()),
        ("ce_type", (TYPE_PREFIX + tag_of(record)).encode()),
        ("content-type", b"application/json"),
    ]
    if traceparent:
        headers.append(("traceparent", traceparent.encode()))
    return headers


def _decode(decoder: msgspec.json.Decoder[Any], value: bytes | None, expected: str) -> Any:
    if not value:
        raise Malformed(f"expected {expected}, found an empty record")
    try:
        return decoder.decode(value)
    except msgspec.ValidationError as error:
        raise Malformed(f"expected {expected}: {_unquoted(str(error))}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed(f"expected {expected}, found bytes that are not JSON") from None


def _unquoted(message: str) -> str:
    """msgspec quotes an invalid tag or enum value, which are the sender's words: keep what is ours."""
    if message.startswith("Invalid value "):
        _, _, path = message.rpartition(" - at ")
        return f"unknown record type or value{' at ' + path if path and path != message else ''}"
    if message.startswith("Object contains unknown field "):
        return "an unknown field" + (" - at " + message.rpartition(" - at ")[2] if " - at " in message else "")
    return message


def decode_wire(value: bytes | None) -> Wire:
    """A record of `jobs`. Malformed when it is none."""
    record: Wire = _decode(_wire, value, "a record of `jobs`")
    return record


def body_of(record: Wire) -> Body:
    """What `judge` reads of a record: everything but the payload."""
    return record.submission if isinstance(record, JobSubmitted) else record


def decode_batch(value: bytes | None) -> Batch:
    """A record of `ledger`. Malformed when it is none."""
    batch: Batch = _decode(_batch, value, "a ledger batch")
    return batch


def decode_order(value: bytes | None) -> Order:
    order: Order = _decode(_order, value, "an order")
    return order


def decode_submission(value: bytes | None) -> SubmissionRequested:
    request: SubmissionRequested = _decode(_submission, value, "a submission")
    return request


def decode_progress(value: bytes | None) -> AttemptProgressed:
    progress: AttemptProgressed = _decode(_progress, value, "a progress record")
    return progress


def decode_quarantined(value: bytes | None) -> Quarantined:
    record: Quarantined = _decode(_quarantined, value, "a quarantine record")
    return record


def decode_result(value: bytes | None) -> ResultManifest:
    manifest: ResultManifest = _decode(_result, value, "a result manifest")
    return manifest


def decode_shadow(value: bytes | None) -> ShadowRecord:
    """A record of `shadow`. Malformed when it is none."""
    record: ShadowRecord = _decode(_shadow, value, "a record of `shadow`")
    return record
