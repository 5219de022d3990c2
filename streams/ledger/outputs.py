"""What a writer asks of its host: I/O, as data."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from contract.batch import Batch
from contract.orders import Order


class Append(msgspec.Struct, frozen=True):
    """Append this record to the ledger. Then call `acked` or `unclear`."""

    record: bytes
    batch: Batch


class SendOrders(msgspec.Struct, frozen=True):
    """Send these orders to their nodes. A lost order is sent again when a heartbeat contradicts the state."""

    orders: tuple[Order, ...]


class SeekJobs(msgspec.Struct, frozen=True):
    """The pool is ours: deliver `jobs` from this offset on."""

    position: int


class AskJobsEnd(msgspec.Struct, frozen=True):
    """Ask the broker where `jobs` ends now. Then call `jobs_end`."""


class SnapshotReady(msgspec.Struct, frozen=True):
    """Store this snapshot. It is folded from records that were read back; `offset` and `record_hash` name the last
    one."""

    data: bytes
    offset: int
    record_hash: str
    now_ms: int
    """The pool's clock after that record."""


class InputAhead(msgspec.Struct, frozen=True):
    """For the log: the append time of this input is far ahead of the pool's clock, and did not raise the clock."""

    offset: int
    ahead_ms: int


class PoolRest(StrEnum):
    """How long a pool rests after it has ended, before it is opened anew."""

    BRIEF = "brief"
    """1 s, and longer each time the pool ends again soon: opening it anew reads what is true, and may mend it."""
    LONG = "long"
    """A minute between two tries: only an operator can mend what is wrong."""
    UNTIL_ASSIGNED = "until_assigned"
    """Until the group assigns the partition anew, a minute at the longest: another scheduler leads the pool."""


class Stop(msgspec.Struct, frozen=True):
    """The writer has ended. It appends and sends nothing more."""

    reason: str
    rest: PoolRest = PoolRest.BRIEF


Output = Append | SendOrders | SeekJobs | AskJobsEnd | SnapshotReady | InputAhead | Stop
