"""Which records of a ledger count. One rule for every reader (design section 2, rule 4; invariant I14).

A record counts if its `prev_hash` is the hash of the last record that counted, its `seq` follows, and its epoch is
right: the last one's, or one more when it is an Opened. So the log is its own compare-and-swap, and of two writers that
append on the same record the first one wins.

A record that does not count is one of two things. A zombie's record chains on an earlier record of the log, counted or
not: it is ignored. Anything else is damage (an edited, removed or reordered record, or a writer's defect): a reader
from the beginning raises Damaged. A reader that starts at a snapshot does not know the records before it, so it ignores
what chains on none that it knows.
"""

from __future__ import annotations

import msgspec

from contract.batch import GENESIS, Batch, hash_of
from contract.codec import LEDGER_BATCH, Malformed, decode_batch
from contract.events import Opened


class Counted(msgspec.Struct, frozen=True):
    """The record is part of the pool's history: fold it."""

    batch: Batch
    hash: str


class Ignored(msgspec.Struct, frozen=True):
    """The record is a writer's that had been overtaken. It changes nothing."""

    reason: str
    is_orphan: bool = False
    """It follows no record that this reader, which began at a snapshot, has read: perhaps an earlier one, perhaps
    damage."""


class Damaged(Exception):
    """The ledger is not what a scheduler wrote."""

    def __init__(self, offset: int, expected: str, found: str) -> None:
        super().__init__(
            f"ledger offset {offset}: expected {expected}, found {found};"
            " compare this record with another copy of the ledger, and do not write to the pool until it is explained"
        )
        self.offset = offset
        self.expected = expected
        self.found = found


class Chain:
    """The records of one pool's ledger, offered in the order of their offsets."""

    def __init__(self, pool: str) -> None:
        """Reads from the beginning of the ledger."""
        self.pool = pool
        self.head_hash = GENESIS
        """Hash of the last record that counted."""
        self.seq = -1
        self.epoch = 0
        self.offset = -1
        """Of the last record that counted."""
        self._from_genesis = True
        self._read_to = -1
        self._known = {bytes.fromhex(GENESIS)}

    @classmethod
    def at(cls, pool: str, head_hash: str, seq: int, epoch: int, offset: int) -> Chain:
        """Goes on after the record with this hash, seq, epoch and offset, which counted: a snapshot's or a view's."""
        chain = cls(pool)
        chain.head_hash, chain.seq, chain.epoch, chain.offset = head_hash, seq, epoch, offset
        chain._from_genesis = seq == -1
        chain._read_to = offset
        chain._known.add(bytes.fromhex(head_hash))
        return chain

    def offer(self, offset: int, record: bytes) -> Counted | Ignored:
        """Whether the record at this offset counts. Raises Damaged; ValueError when offsets do not rise."""
        if offset <= self._read_to:
            raise ValueError(f"expected an offset after {self._read_to}, found {offset}; offer each record once")
        try:
            batch = decode_batch(record)
        except Malformed as error:
            found = str(error).removeprefix(f"expected {LEDGER_BATCH}").removeprefix(", found ").removeprefix(": ")
            raise Damaged(offset, LEDGER_BATCH, found) from None
        if batch.pool != self.pool:
            raise Damaged(offset, f"a record of pool {self.pool}", "one of another pool")
        self._read_to = offset
        record_hash = hash_of(record)
        verdict = self._judge(offset, batch, record_hash)
        self._known.add(bytes.fromhex(record_hash))
        return verdict

    def _judge(self, offset: int, batch: Batch, record_hash: str) -> Counted | Ignored:
        if follows(self.head_hash, batch):
            self._check_place(offset, batch)
            self.head_hash, self.seq, self.epoch, self.offset = record_hash, batch.seq, batch.epoch, offset
            return Counted(batch, record_hash)
        if is_known(self._known, batch.prev_hash):
            return Ignored("it follows an earlier record: its writer had been overtaken")
        if self._from_genesis:
            raise Damaged(offset, "the hash of an earlier record as prev_hash", "the hash of none")
        return Ignored("it follows no record read since the snapshot", is_orphan=True)

    def _check_place(self, offset: int, batch: Batch) -> None:
        """The record follows the head, so its writer had read it: seq and epoch must say the same."""
        opens = any(isinstance(event, Opened) for event in batch.events)
        if opens and (len(batch.events) != 1 or batch.inputs):
            raise Damaged(offset, "Opened alone in its record", "it beside other events or inputs")
        expected = (self.seq + 1, self.epoch + 1 if opens else self.epoch)
        if (batch.seq, batch.epoch) != expected or batch.epoch < 1:
            raise Damaged(
                offset,
                f"seq {expected[0]} and epoch {max(1, expected[1])}{'' if opens or self.epoch else ' of an Opened'}",
                f"seq {batch.seq} and epoch {batch.epoch}",
            )


def follows(head_hash: str, batch: Batch) -> bool:
    """The record was written by one who had read the head. Seam of the simulation's broken variants."""
    return batch.prev_hash == head_hash


def is_known(known: set[bytes], prev_hash: str) -> bool:
    """The record chains on an earlier one of the log."""
    try:
        return bytes.fromhex(prev_hash) in known
    except ValueError:
        return False
