"""The payload of an attempt: from its order, or from `jobs` by offset, and checked before a child gets it.

Inputs are decoded before they go to a child, as at every other door (contract.codec.decode_values). A payload that an
older release took and that no part can hold fails its job once, with a sentence.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from contract.codec import Malformed, decode_values, decode_wire
from contract.inputs import JobSubmitted
from contract.names import payload_digest
from contract.orders import Payload, Run
from gpu_worker.io.outages import SILENT, GivenUp, OutageWaits
from gpu_worker.rules.outcome import Failure
from runtime.worker.frames import FRAME_BYTES_MAX

READ_AGAIN = 3
"""How often a payload that is not there is looked for. A broker that just came up may not show the payload yet, and the
verdict is final for the job."""

INPUTS_BYTES_MAX = FRAME_BYTES_MAX - 64 * 1024
"""The most that goes to a child: a frame holds the inputs and what else a child must know of an attempt."""

CHECKED_AT_ONCE_BYTES_MAX = 16 * 1024
"""Inputs up to this size are decoded in the caller's thread, which takes about a millisecond at most."""

ReadPayload = Callable[[int, int], bytes | None]
"""(partition, offset) in `jobs` -> the record's value; None when there is none."""


class PayloadMissing(Exception):
    """The payload is gone: tombstoned, retained out, or not the payload that the ledger has the digest of."""


def inputs_of_order(run: Run) -> msgspec.Raw | None:
    """The inputs that the order carries, if they are those that the ledger has the digest of."""
    payload: Payload | None = run.payload
    if payload is None or not _has_digest(payload.salt, bytes(payload.inputs), run.digest):
        return None
    return payload.inputs


def read_inputs(run: Run, read: ReadPayload, is_wanted: Callable[[], bool], waits: OutageWaits) -> msgspec.Raw:
    """The inputs by offset, however long the broker is away. PayloadMissing, also when nobody wants them any more."""
    looks = 0

    def look() -> msgspec.Raw:
        nonlocal looks
        value = read(run.partition, run.offset)
        looks += 1
        inputs = _inputs_of_record(value, run)
        if inputs is None:
            raise _NotThereYet if value is None and looks < READ_AGAIN else PayloadMissing
        return inputs

    try:
        return waits.until_done(f"payload {run.dispatch}", look, lambda: not is_wanted(), _cause)
    except GivenUp:
        raise PayloadMissing from None


class _NotThereYet(Exception):
    """The broker shows no payload. It may have come up a moment ago."""


def _cause(error: Exception) -> str:
    if isinstance(error, PayloadMissing):
        return ""
    return SILENT if isinstance(error, _NotThereYet) else "payloads"


def refusal_of(inputs: msgspec.Raw) -> Failure | None:
    """Why a child cannot be given these inputs; None when it can."""
    raw = bytes(inputs)
    sentence = f"inputs: expected at most {INPUTS_BYTES_MAX} bytes, found {len(raw)}"
    if len(raw) <= INPUTS_BYTES_MAX:
        try:
            decode_values(raw, "inputs")
            return None
        except Malformed as error:
            sentence = str(error)
    return Failure("bad_inputs", "InputsUnreadable", f"{sentence}\n")


def are_fine_at_once(inputs: msgspec.Raw) -> bool:
    """Whether a child can be given these inputs, and they are so small that the answer takes no time worth a thread."""
    return len(bytes(inputs)) <= CHECKED_AT_ONCE_BYTES_MAX and refusal_of(inputs) is None


def _inputs_of_record(value: bytes | None, run: Run) -> msgspec.Raw | None:
    if value is None:
        return None
    try:
        record = decode_wire(value)
    except Malformed:
        return None
    if not isinstance(record, JobSubmitted) or record.submission.job != run.job:
        return None
    return record.inputs if _has_digest(record.salt, bytes(record.inputs), run.digest) else None


def _has_digest(salt: str, inputs: bytes, digest: str) -> bool:
    try:
        return payload_digest(salt, inputs) == digest
    except ValueError:
        return False
