"""The scheduler's door: every record of `jobs` becomes an input, whatever it holds.

A record that cannot be read, or that nobody signed who may write it, becomes an input that says so, and goes to
`quarantine` with the same reason. Nothing is raised here: a record that no check foresaw costs one record in
`quarantine`, never a pool that stands still.
"""

from __future__ import annotations

from typing import NamedTuple

from contract.codec import Malformed, body_of, decode_input, decode_key
from contract.inputs import Input, JobSubmitted, Unreadable
from contract.signing import SignatureRefused
from runtime.kafka import Record
from streams.door.signatures import Signatures
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


def read(record: Record, signatures: Signatures) -> CheckedInput:
    """The input that a record makes. Tombstones are no records: do not pass them."""
    try:
        return _read(record, signatures)
    except (Malformed, SignatureRefused) as refused:
        reason = str(refused)
    except Exception as unforeseen:  # one record is refused, and its pool goes on
        reason = f"expected a record of `jobs`, found one that no check foresaw ({type(unforeseen).__name__})"
    return CheckedInput(Input(record.offset, record.timestamp_ms, Unreadable(reason)), SUBMISSION_BYTES)


def refusal_of_tombstone(record: Record, signatures: Signatures) -> str:
    """Why nobody who may bury a record has written this tombstone, in our words; empty when somebody has, or need not
    have signed. Compaction obeys a tombstone all the same: what is refused here is only said aloud."""
    try:
        signatures.check_tombstone(signatures.signer_of(record))
    except SignatureRefused as refused:
        return str(refused)
    return ""


def _read(record: Record, signatures: Signatures) -> CheckedInput:
    signer = signatures.signer_of(record)
    said = decode_input(record.value)
    body = body_of(said)
    signatures.check(signer, body)
    if not isinstance(said, JobSubmitted):
        until_ms = signatures.token_until_ms(record, body) if signer else 0
        given = Input(record.offset, record.timestamp_ms, body, signer=signer, token_until_ms=until_ms)
        return CheckedInput(given, len(record.value or b"") + len(signer))
    given = Input(record.offset, record.timestamp_ms, said.submission, decode_key(record.key), signer)
    return CheckedInput(given, SUBMISSION_BYTES, said, traceparent_of(record.headers))
