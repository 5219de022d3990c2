"""The scheduler's door: every record of `jobs` becomes an input, whatever it holds.

A record that cannot be read becomes an input that says so, and goes to `quarantine` with the same reason. Nothing is
raised here: a record that no check foresaw costs one record in `quarantine`, never a pool that stands still.
"""

from __future__ import annotations

from typing import NamedTuple

from contract.codec import Malformed, body_of, decode_input, decode_key
from contract.inputs import Input, JobSubmitted, Unreadable
from runtime.kafka import Record
from streams.door.tracing import traceparent_of

SUBMISSION_BYTES = 400
"""About what the ledger keeps of a submission, however large its payload is, or of a record that cannot be read."""


class CheckedInput(NamedTuple):
    """A record that went through the door, as the pool takes it."""

    given: Input
    size_bytes: int
    """About what the ledger will keep of it."""
    submitted: JobSubmitted | None = None
    """The record with its payload, when it is a submission."""
    traceparent: str = ""

    @property
    def refusal(self) -> str:
        """Why the record is no input, in our words; empty when the record is an input."""
        return self.given.body.reason if isinstance(self.given.body, Unreadable) else ""


def read(record: Record) -> CheckedInput:
    """The input that a record makes. Tombstones are no records: do not pass them."""
    try:
        return _read(record)
    except Malformed as malformed:
        reason = str(malformed)
    except Exception as unforeseen:
        reason = f"expected a record of `jobs`, found one that no check foresaw ({type(unforeseen).__name__})"
    return CheckedInput(Input(record.offset, record.timestamp_ms, Unreadable(reason)), SUBMISSION_BYTES)


def _read(record: Record) -> CheckedInput:
    said = decode_input(record.value)
    if not isinstance(said, JobSubmitted):
        return CheckedInput(Input(record.offset, record.timestamp_ms, body_of(said)), len(record.value or b""))
    given = Input(record.offset, record.timestamp_ms, said.submission, decode_key(record.key))
    return CheckedInput(given, SUBMISSION_BYTES, said, traceparent_of(record.headers))
