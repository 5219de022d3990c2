"""Bytes on the wire: values are JSON of msgspec Structs, headers are CloudEvents 1.0 in Kafka's binary mode.

The value carries its own tag, so a record can be read without its headers. The header `ce_type` repeats the tag for
programs that route by header.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from contract import bounds
from contract.batch import Batch
from contract.error_names import error_name
from contract.inputs import (
    FAILURE_KINDS,
    LAYERS,
    STOP_REASONS,
    Body,
    Failed,
    JobSubmitted,
    NodeHeartbeat,
    NodeJoined,
    NodeReport,
    Report,
    Stopped,
    Wire,
)
from contract.media import FORMS, KINDS, MEDIA_MAX, OutputName, read_name
from contract.names import ACTOR_NAME, DIGEST, DISPATCH, is_name
from contract.orders import Order, Orders
from contract.policy import CLUSTER_KINDS
from contract.preparation_reports import MEDIA_REFUSALS, PREPARATION_STOPS, PreparationRefused, PreparationStopped
from contract.prepared import PreparedManifest, UploadReady, prepared_name
from contract.results import ResultManifest, is_output_name
from contract.shadows import ShadowRecord
from contract.side_topics import AttemptProgressed, Quarantined, SubmissionRequested

Headers = list[tuple[str, bytes]]

_encoder = msgspec.json.Encoder()
_wire = msgspec.json.Decoder(Wire)
_batch = msgspec.json.Decoder(Batch)
_orders = msgspec.json.Decoder(Order | Orders)
_submission = msgspec.json.Decoder(SubmissionRequested)
_progress = msgspec.json.Decoder(AttemptProgressed)
_quarantined = msgspec.json.Decoder(Quarantined)
_result = msgspec.json.Decoder(ResultManifest)
_prepared = msgspec.json.Decoder(PreparedManifest)
_upload_ready = msgspec.json.Decoder(UploadReady)
_shadow = msgspec.json.Decoder(ShadowRecord)
_values = msgspec.json.Decoder()

TYPE_PREFIX = "headrace."
_INPUT = "a record of `jobs`"
LEDGER_BATCH = "a ledger batch"
_NO_EVENTS = b"[]}"
_SALT = re.compile(r"[0-9a-f]{32}")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class Malformed(ValueError):
    """The bytes are not the record that was expected. The message says what was expected and where the bytes differ. It
    quotes nothing of the record, because a user's words must not reach a log."""


def encode(record: msgspec.Struct) -> bytes:
    """The record's canonical bytes: fields in the order of their declaration, no spaces. Hashes are made of them."""
    return _encoder.encode(record)


def encode_batch(batch: Batch, events: Sequence[bytes]) -> bytes:
    """The bytes of a batch whose events were encoded before: the same bytes as `encode` makes of the batch with its
    events. The `batch` given here must have no events."""
    head = _encoder.encode(batch)
    return head[: -len(_NO_EVENTS)] + b",".join(events).join((b"[", b"]}"))


def tag_of(record: msgspec.Struct | type[msgspec.Struct]) -> str:
    return str(record.__struct_config__.tag)


def headers_for(record: msgspec.Struct, event_id: str, source: str, traceparent: str = "") -> Headers:
    """CloudEvents headers of one record. No other record may have the same `source` and `event_id`."""
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
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        raise Malformed(f"expected {expected}, found bytes that are not JSON") from None


def _unquoted(message: str) -> str:
    """msgspec's message without the sender's words: msgspec quotes invalid tags, enum values and unknown fields."""
    if message.startswith("Invalid value "):
        _, _, path = message.rpartition(" - at ")
        return f"unknown record type or value{' at ' + path if path and path != message else ''}"
    if message.startswith("Object contains unknown field "):
        return "an unknown field" + (" - at " + message.rpartition(" - at ")[2] if " - at " in message else "")
    return message


def decode_wire(value: bytes | None) -> Wire:
    """A record of `jobs`, without bounds: for readers of history. Malformed when the bytes are no such record."""
    record: Wire = _decode(_wire, value, _INPUT)
    return record


def decode_input(value: bytes | None) -> Wire:
    """A record of `jobs` at the scheduler's door. Malformed when the bytes are no such record, when the record or a
    submission's payload is out of contract.bounds, or when a name in it has a form that a node would refuse in the
    order that repeats it (runtime.worker.order_door)."""
    record = decode_wire(value)
    assert value is not None
    if isinstance(record, JobSubmitted):
        if not _SALT.fullmatch(record.salt):
            raise Malformed(f"expected {_INPUT}: a salt of 32 hex digits, found another text")
        if not DIGEST.fullmatch(record.submission.digest):
            raise Malformed(f"expected {_INPUT}: a digest of the payload like sha256:<64 hex>, found another text")
        if not is_name(record.submission.tenant):
            raise Malformed(f"expected {_INPUT}: a tenant's name, found another text")
        _check_media(record)
        decode_values(bytes(record.inputs), f"{_INPUT}: inputs")
    elif len(value) > bounds.RECORD_BYTES_MAX:
        raise Malformed(f"expected {_INPUT} of at most {bounds.RECORD_BYTES_MAX} bytes, found {len(value)}")
    if isinstance(record, NodeHeartbeat) and not all(map(DISPATCH.fullmatch, record.running + record.staged)):
        raise Malformed(f"expected {_INPUT}: dispatches of three numbers in a heartbeat, found another text")
    if (by := getattr(record, "by", "")) and not ACTOR_NAME.fullmatch(by):
        raise Malformed(f"expected {_INPUT}: a login or the id of a key in `by`, found another text")
    _check(body_of(record), value, _INPUT)
    return record


def _check_media(record: JobSubmitted) -> None:
    """Malformed when the record names more media than a submission may, or sources that can be none."""
    if not 0 <= record.submission.media <= MEDIA_MAX or len(record.outputs) > MEDIA_MAX:
        raise Malformed(f"expected {_INPUT}: at most {MEDIA_MAX} media, found more")
    for output in record.outputs:
        if not isinstance(read_name(output.source), OutputName) or not DISPATCH.fullmatch(output.dispatch):
            raise Malformed(f"expected {_INPUT}: an output as job:ID/NAME and its attempt, found another text")


def decode_key(key: bytes | None) -> str:
    """The key of a submission in `jobs`, exactly its bytes: an erasure finds the record by it. Malformed."""
    expected = f"a submission with a key of its own, of 1 to {bounds.TEXT_MAX} characters in UTF-8 without NUL"
    try:
        text = (key or b"").decode()
    except UnicodeDecodeError:
        raise Malformed(f"expected {expected}, found other bytes") from None
    if not 0 < len(text) <= bounds.TEXT_MAX or "\0" in text:
        raise Malformed(f"expected {expected}, found another")
    return text


def decode_values(raw: bytes, what: str) -> Any:
    """Decode JSON that a user or a model wrote, which messages call `what`. Malformed unless text is whole and without
    NUL, numbers are finite, whole numbers have at most 64 bits, and lists and objects are at most 64 deep.

    Every door for a payload or a model's values decodes here, so what one door takes, no later door refuses."""
    try:
        value = _values.decode(raw)
    except (msgspec.ValidationError, OverflowError):
        raise Malformed(
            f"expected {what} with finite numbers of fewer digits, found one that no number type holds"
        ) from None
    except UnicodeDecodeError:
        raise Malformed(f"expected {what} in UTF-8, found other bytes") from None
    except RecursionError:
        raise Malformed(f"expected {what} at most {bounds.DEPTH_MAX} deep, found more") from None
    except msgspec.DecodeError:
        if _SURROGATE.search(raw):
            raise Malformed(f"expected {what} as JSON of whole characters, found half a surrogate pair") from None
        raise Malformed(f"expected {what} as JSON, found bytes that are not") from None
    fault = bounds.fault_of(value, bounds.VALUE_LEAST, bounds.VALUE_MOST, bounds.DEPTH_MAX)
    if fault:
        raise Malformed(f"{what}: {fault}")
    return value


def _check(record: msgspec.Struct, value: bytes, expected: str) -> None:
    """Malformed when a field of the record is out of bounds. `value` is what the record was decoded from."""
    if len(value) <= bounds.TEXT_MAX and not bounds.may_be_out_of_bounds(value):
        return
    fault = bounds.fault_of(
        msgspec.to_builtins(record), -bounds.NUMBER_MAX, bounds.NUMBER_MAX, bounds.DEPTH_MAX, bounds.TEXT_MAX
    )
    if fault:
        raise Malformed(f"{expected}: {fault}")


def body_of(record: Wire) -> Body:
    """What `judge` reads of a record of `jobs`: everything but the payload. Of what a node says, words that the
    contract does not have are replaced or left out, because the ledger keeps what `judge` reads for ever."""
    if isinstance(record, JobSubmitted):
        return record.submission
    if isinstance(record, NodeJoined):
        return _joined_in_our_words(record)
    return _in_our_words(record) if isinstance(record, NodeReport) else record


def _joined_in_our_words(said: NodeJoined) -> NodeJoined:
    """A kind that the contract does not have becomes one that no cluster has."""
    missing = tuple(layer for layer in LAYERS if layer in said.layers_missing)
    layers = (missing or LAYERS) if said.layers_missing else ()
    kind = said.kind if said.kind in CLUSTER_KINDS else ""
    return (
        said if (layers, kind) == (said.layers_missing, said.kind) else replace(said, layers_missing=layers, kind=kind)
    )


def _in_our_words(said: NodeReport) -> NodeReport:
    reports = tuple(map(_of_ours, said.reports))
    return said if reports == said.reports else replace(said, reports=reports)


def _of_ours(report: Report) -> Report:
    """The report with kinds, names and reasons of the contract: nothing that a node made up."""
    if isinstance(report, Failed):
        kind = report.kind if report.kind in FAILURE_KINDS else "model_error"
        return replace(report, kind=kind, error=error_name(report.error))
    if isinstance(report, Stopped) and report.reason not in STOP_REASONS:
        return replace(report, reason="unclaimed")
    if isinstance(report, PreparationRefused) and report.kind not in MEDIA_REFUSALS:
        return replace(report, kind="decoder")
    if isinstance(report, PreparationStopped) and report.reason not in PREPARATION_STOPS:
        return replace(report, reason="unclaimed")
    return report


def decode_batch(value: bytes | None) -> Batch:
    """A record of `ledger`. Malformed when the bytes are no such record."""
    batch: Batch = _decode(_batch, value, LEDGER_BATCH)
    return batch


def decode_orders(value: bytes | None) -> tuple[Order, ...]:
    """The orders of a record of `dispatch.<cluster>`, in the sequence in which they must be carried out. Malformed when
    the bytes are neither an order nor Orders."""
    record: Order | Orders = _decode(_orders, value, "an order")
    return record.orders if isinstance(record, Orders) else (record,)


def decode_submission(value: bytes | None) -> tuple[SubmissionRequested, Any]:
    """A record of `submissions` at intake's door, and the model's inputs, decoded. Malformed when the bytes are no such
    record, or when the record or the inputs are out of contract.bounds."""
    what = "a submission"
    request: SubmissionRequested = _decode(_submission, value, what)
    assert value is not None
    inputs = decode_values(bytes(request.inputs), f"{what}: inputs")
    if not 0 <= request.expires_ms <= bounds.TIME_MS_MAX:
        raise Malformed(f"expected {what}: expires_ms as 0 or ms since 1970 up to the year 9999, found another number")
    for text in (request.tenant, request.tier, request.model):
        fault = bounds.fault_of(text, 0, 0, 0, bounds.TEXT_MAX)
        if fault:
            raise Malformed(f"{what}: {fault}")
    return request, inputs


def decode_progress(value: bytes | None) -> AttemptProgressed:
    progress: AttemptProgressed = _decode(_progress, value, "a progress record")
    return progress


def decode_quarantined(value: bytes | None) -> Quarantined:
    record: Quarantined = _decode(_quarantined, value, "a quarantine record")
    return record


def decode_result(value: bytes | None) -> ResultManifest:
    """A result's manifest. Malformed when the bytes are no such record, or no UTF-8 where the decoder does not look, or
    when they name a file that no attempt can have: the name would become the key of another object."""
    manifest: ResultManifest = _decode(_result, value, "a result manifest")
    try:
        bytes(manifest.values).decode()
    except UnicodeDecodeError:
        raise Malformed("expected a result manifest in UTF-8, found other bytes") from None
    if not all(is_output_name(file.name) for file in manifest.files):
        raise Malformed("expected a result manifest with names of outputs, found another name")
    return manifest


def decode_prepared(value: bytes | None) -> PreparedManifest:
    """A manifest of prepared inputs. Malformed when the bytes are no such record, or when they name a file that no
    preparation has: the name would become the key of another object."""
    manifest: PreparedManifest = _decode(_prepared, value, "a manifest of prepared inputs")
    for place, file in enumerate(manifest.files):
        known = file.kind in KINDS and file.form in FORMS
        if not known or file.name != prepared_name(place, file.kind, file.form):
            raise Malformed("expected a manifest of prepared inputs with names of prepared files, found another name")
    return manifest


def decode_upload_ready(value: bytes | None) -> UploadReady:
    """What the object of a complete upload says. Malformed when the bytes are no such record."""
    ready: UploadReady = _decode(_upload_ready, value, "the record of a complete upload")
    return ready


def decode_shadow(value: bytes | None) -> ShadowRecord:
    """A record of `shadow`. Malformed when the bytes are no such record."""
    record: ShadowRecord = _decode(_shadow, value, "a record of `shadow`")
    return record
