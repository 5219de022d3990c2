"""A batch: one record of a ledger. It holds the inputs that were read, the time, and every event decided from them.

A batch is atomic because it is one Kafka record. Its hash is the sha256 of its bytes. `prev_hash` is the hash of the
record that the batch follows, so the log is its own compare-and-swap (contract.chain says which records count).
"""

from __future__ import annotations

import hashlib

import msgspec

from contract.events import Event
from contract.inputs import Input

GENESIS = "0" * 64
"""`prev_hash` of the first record of a ledger."""

BATCH_BYTES_MAX = 512 * 1024
"""Size of a ledger record (docs/decisions/0014). A quarter is for the inputs. Events may fill a second quarter before
the batch is full. The other half takes the events of the one input, or the one group, that filled the batch."""

BATCH_INPUTS_MAX = 500

INPUT_BYTES_MAX = BATCH_BYTES_MAX // 4
"""All inputs of a batch together. The doors refuse a single larger input (contract.bounds.RECORD_BYTES_MAX)."""

EVENT_BYTES_MAX = BATCH_BYTES_MAX // 4
BATCH_EVENTS_MAX = 1000
"""A batch with this many events, or EVENT_BYTES_MAX of them, is full: `decide` judges no further input, `plan` begins
nothing more, and the next batch goes on."""

ONE_INPUT_BYTES_MAX = BATCH_BYTES_MAX // 2
"""The most bytes of events that one input leads to, or that `plan` keeps together in one group. The doors' bounds keep
this promise (contract.bounds). A larger group could make a record that `ledger` does not take; the pool would stop."""

TICK_MS = 5_000
"""A pool with something under way writes a batch at least this often (design section 4, Time)."""
ELAPSED_MAX_MS = 10_000
"""The most lease time that one batch adds (design section 4, Time)."""
INPUT_AHEAD_MAX_MS = 60_000
"""An input whose append time is further ahead of the pool's clock does not raise `now_ms` (design section 4, Time)."""
IDS_FORGOTTEN_MAX = 2_000
"""A batch forgets at most so many ids of ended jobs, so that no batch takes long."""


class Batch(msgspec.Struct, frozen=True, tag="Batch.v1"):
    pool: str
    epoch: int
    """The writer's term over the pool: 1 at first, one more with every Opened."""
    seq: int
    """The record's number, 0, 1, 2… through all epochs of the ledger."""
    prev_hash: str
    now_ms: int
    """Time of the batch by the broker's clock, never less than the time of the batch before."""
    elapsed_ms: int
    """Lease time since the writer's own last batch, by its monotonic clock: at most 10 s."""
    caught_up: bool
    """True when the writer had read `jobs` to the end that it had when the batch was begun. Only then may leases
    lapse."""
    position: int
    """Offset in `jobs` of the next input to read."""
    inputs: tuple[Input, ...]
    events: tuple[Event, ...]


def hash_of(record: bytes) -> str:
    """The hash that names a ledger record: 64 hex digits."""
    return hashlib.sha256(record).hexdigest()
