"""The records that a writer appended to its ledger: the one in flight, and those that it has not read back yet."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from contract.batch import Batch
from contract.inputs import Input
from contract.orders import Order
from scheduling.decide import Clock
from scheduling.state.pool import State


class OwnRecord(NamedTuple):
    batch: Batch
    hash: str
    orders: tuple[Order, ...]
    """To be sent when the broker has acknowledged the record."""


class OwnRecords:
    """Records of one writer. At most one is in flight: appended, and not acknowledged yet."""

    __slots__ = ("_unread", "in_flight", "last")

    def __init__(self) -> None:
        self.last: OwnRecord | None = None
        """The record that was appended last; None: none was."""
        self.in_flight: OwnRecord | None = None
        self._unread: deque[str] = deque()
        """Hashes of the records that were not read back yet, oldest first."""

    def append(self, record: OwnRecord) -> None:
        self.last = self.in_flight = record
        self._unread.append(record.hash)

    def land(self) -> OwnRecord:
        """The broker has acknowledged the record in flight."""
        landed, self.in_flight = self.in_flight, None
        if landed is None:
            raise ValueError("expected an acknowledgement of the record in flight, found that none is in flight")
        return landed

    def read_back(self, record_hash: str) -> bool:
        """A record that counts was read from the ledger: note it and return True if it is our oldest unread one."""
        is_ours = bool(self._unread) and self._unread[0] == record_hash
        if is_ours:
            self._unread.popleft()
        return is_ours

    def is_unread(self, record_hash: str) -> bool:
        """A record of ours with this hash was appended and not read back."""
        return record_hash in self._unread

    def forget_unread(self) -> None:
        """What was appended before does not count."""
        self._unread.clear()

    @property
    def all_read_back(self) -> bool:
        return not self._unread


def batch_without_events(state: State, clock: Clock, position: int, inputs: tuple[Input, ...]) -> Batch:
    """The batch that follows the last one folded into `state`; its events are encoded apart."""
    return Batch(
        pool=state.pool,
        epoch=clock.epoch,
        seq=clock.seq,
        prev_hash=state.head_hash,
        now_ms=clock.now_ms,
        elapsed_ms=clock.elapsed_ms,
        caught_up=clock.caught_up,
        position=position,
        inputs=inputs,
        events=(),
    )
