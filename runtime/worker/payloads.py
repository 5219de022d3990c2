"""The payload of an order: from the order itself, or from `jobs` by offset, and checked by its digest."""

from __future__ import annotations

from collections.abc import Callable

from contract.codec import Malformed, decode_wire
from contract.inputs import JobSubmitted
from contract.names import payload_digest
from contract.orders import Payload, Prepare, Run
from runtime.worker.outages import SILENT, OutageWaits

READ_AGAIN = 3
"""How often a payload that is not there is looked for. A broker that just came up may not show the payload yet, and the
verdict is final for the job."""

ReadPayload = Callable[[int, int], bytes | None]
"""(partition, offset) in `jobs` -> the record's value; None when there is none."""


class PayloadMissing(Exception):
    """The payload is gone: tombstoned, retained out, or not the payload that the ledger has the digest of."""


def payload_of(order: Run | Prepare) -> Payload | None:
    """The payload that the order carries, if it is the one that the ledger has the digest of."""
    payload = order.payload
    if payload is None or not _has_digest(payload.salt, bytes(payload.inputs), order.digest):
        return None
    return payload


def read_payload(order: Run | Prepare, read: ReadPayload, is_wanted: Callable[[], bool], waits: OutageWaits) -> Payload:
    """The payload by offset, however long the broker is away. PayloadMissing; GivenUp when nobody wants it any more."""
    looks = 0

    def look() -> Payload:
        nonlocal looks
        value = read(order.partition, order.offset)
        looks += 1
        payload = _payload_of_record(value, order)
        if payload is None:
            raise _NotThereYet if value is None and looks < READ_AGAIN else PayloadMissing
        return payload

    named = order.dispatch if isinstance(order, Run) else order.preparation
    return waits.until_done(f"payload {named}", look, lambda: not is_wanted(), _cause)


class _NotThereYet(Exception):
    """The broker shows no payload. It may have come up a moment ago."""


def _cause(error: Exception) -> str:
    if isinstance(error, PayloadMissing):
        return ""
    return SILENT if isinstance(error, _NotThereYet) else "payloads"


def _payload_of_record(value: bytes | None, order: Run | Prepare) -> Payload | None:
    if value is None:
        return None
    try:
        record = decode_wire(value)
    except Malformed:
        return None
    if not isinstance(record, JobSubmitted) or record.submission.job != order.job:
        return None
    if not _has_digest(record.salt, bytes(record.inputs), order.digest):
        return None
    return Payload(record.inputs, record.salt, record.outputs)


def _has_digest(salt: str, inputs: bytes, digest: str) -> bool:
    try:
        return payload_digest(salt, inputs) == digest
    except ValueError:
        return False
