"""What a writer asks of its host: I/O, as data."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from contract.batch import Batch
from contract.orders import Order


class Append(msgspec.Struct, frozen=True):
    """Append this record to the ledger, then call `acked` or `unclear`."""

    record: bytes
    batch: Batch


class SendOrders(msgspec.Struct, frozen=True):
    """Send these to their nodes. An order that is lost is sent again when a heartbeat contradicts the state."""

    orders: tuple[Order, ...]


class SeekJobs(msgspec.Struct, frozen=True):
    """The pool is ours: deliver `jobs` from this offset on."""

    position: int


class AskJobsEnd(msgspec.Struct, frozen=True):
    """Ask the broker where `jobs` ends now, then call `jobs_end`."""


class SnapshotReady(msgspec.Struct, frozen=True):
    """Store this snapshot: folded from records read back, the last of which is named."""

    data: bytes
    offset: int
    record_hash: str
    now_ms: int
    """The pool's clock after that record."""


class InputAhead(msgspec.Struct, frozen=True):
    """For the log: this input's append time is far ahead of the pool's clock, which it did not raise."""

    offset: int
    ahead_ms: int


class PoolRest(StrEnum):
    """How long a pool rests after it has ended, before it is opened anew."""

    BRIEF = "brief"
    """Opening it anew reads what is true, and may mend it: 1 s, and longer each time it ends again soon."""
    LONG = "long"
    """Only somebody's hands mend it: each try a minute after the last."""
    UNTIL_ASSIGNED = "until_assigned"
    """Another scheduler leads it: until the group assigns it anew, a minute at the longest."""


class Stop(msgspec.Struct, frozen=True):
    """The writer has ended: nothing more may be appended or sent by it."""

    reason: str
    rest: PoolRest = PoolRest.BRIEF


Output = Append | SendOrders | SeekJobs | AskJobsEnd | SnapshotReady | InputAhead | Stop
