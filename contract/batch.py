"""One record of a ledger: what was read, when, and everything that was decided from it.

A batch is atomic because it is one Kafka record. Its hash is the sha256 of its bytes; `prev_hash` names the record
it follows, so the log is its own compare-and-swap (contract.chain says which records count).
"""

from __future__ import annotations

import hashlib

import msgspec

from contract.events import Event
from contract.inputs import Input

GENESIS = "0" * 64
"""`prev_hash` of the first record of a ledger."""

BATCH_BYTES_MAX = 512 * 1024
"""Of a record: a quarter for its inputs, a quarter that its events may fill before nothing more is begun, and half for
the events of what was begun last."""
BATCH_INPUTS_MAX = 500
INPUT_BYTES_MAX = BATCH_BYTES_MAX // 4
"""Of the inputs of a batch together; the doors refuse a larger one (contract.bounds.RECORD_BYTES_MAX)."""
EVENT_BYTES_MAX = BATCH_BYTES_MAX // 4
BATCH_EVENTS_MAX = 1000
"""With so many events, or so many bytes of them, a batch is full: no further input of it is judged, `plan` begins
nothing more, and the rest goes on in the next batch."""
ONE_INPUT_BYTES_MAX = BATCH_BYTES_MAX // 2
"""No input leads to more bytes of events than this, and no group of events that `plan` keeps together: the doors'
bounds see to it (contract.bounds)."""

FORMAT = 1


class Batch(msgspec.Struct, frozen=True, tag="Batch.v1"):
    pool: str
    epoch: int
    """Raised by one with every Opened. The first is 1."""
    seq: int
    """0, 1, 2… over all epochs of the ledger."""
    prev_hash: str
    now_ms: int
    """The broker's clock, never less than the last batch's."""
    elapsed_ms: int
    """Lease time since the writer's own last batch (its monotonic clock, at most 10 s)."""
    caught_up: bool
    """The inputs read reach the end of `jobs` as it was when this batch was begun."""
    position: int
    """Offset of the next input to read."""
    inputs: tuple[Input, ...]
    events: tuple[Event, ...]


def hash_of(record: bytes) -> str:
    """64 hex digits naming a ledger record."""
    return hashlib.sha256(record).hexdigest()
