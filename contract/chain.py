"""Which records of a ledger count: one rule for every reader (design section 2, rule 4; invariant I14).

A record counts when three things hold. Its `prev_hash` is the hash of the last record that counted. Its `seq` is one
more than that record's. Its epoch is that record's, or one more if the record is an Opened. So the log is its own
compare-and-swap: of two writers that append after the same record, the first one wins.

A record that does not count is a zombie's or damage. A zombie's record follows an earlier record of the log, counted or
not, and is ignored: its writer did not know that another scheduler had taken over. Any other record is damage: a record
was edited, removed or moved, or a writer has a defect. A reader that began at the ledger's beginning raises Damaged. A
reader that began at a snapshot does not know the records before the snapshot, so it cannot tell an old zombie from
damage, and ignores a record that follows none that it has read.
"""

from __future__ import annotations

import msgspec

from contract.batch import GENESIS, Batch, hash_of
from contract.codec import LEDGER_BATCH, Malformed, decode_batch
from contract.events import Opened

SAID_CHARACTERS_MAX = 300
"""Of what was found: a number in a ledger may have thousands of digits."""


class Counted(msgspec.Struct, frozen=True):
    """The record counts: fold its events."""

    batch: Batch
    hash: str


class Ignored(msgspec.Struct, frozen=True):
    """The record does not count: its writer had been overtaken by another. Pass the record over."""

    reason: str
    is_orphan: bool = False
    """True when the record follows none that this reader has read. The reader began at a snapshot: the record may
    follow one from before the snapshot, or be damage."""


class Damaged(Exception):
    """The ledger holds a record that no scheduler wrote there."""

    def __init__(self, offset: int, expected: str, found: str) -> None:
        found = found[:SAID_CHARACTERS_MAX]
        super().__init__(
            f"ledger offset {offset}: expected {expected}, found {found};"
            " compare this record with another copy of the ledger, and do not write to the pool until it is explained"
        )
        self.offset = offset
        self.expected = expected
        self.found = found


class Chain:
    """Judges the records of one pool's ledger, which are offered in the order of their offsets."""

    def __init__(self, pool: str) -> None:
        """A chain that begins with the ledger's first record."""
        self.pool = pool
        self.head_hash = GENESIS
        self.seq = -1
        self.epoch = 0
        self.offset = -1
        """Hash, seq, epoch and offset of the last record that counted."""
        self._from_genesis = True
        self._read_to = -1
        self._known = {bytes.fromhex(GENESIS)}

    @classmethod
    def at(cls, pool: str, head_hash: str, seq: int, epoch: int, offset: int) -> Chain:
        """A chain that goes on after the record with this hash, seq, epoch and offset. That record counted: a snapshot
        or a view names it."""
        chain = cls(pool)
        chain.head_hash, chain.seq, chain.epoch, chain.offset = head_hash, seq, epoch, offset
        chain._from_genesis = seq == -1
        chain._read_to = offset
        chain._known.add(bytes.fromhex(head_hash))
        return chain

    def offer(self, offset: int, record: bytes) -> Counted | Ignored:
        """Judge the record at this offset. Damaged when the ledger is damaged; ValueError when the offset is not higher
        than the last one offered."""
        if offset <= self._read_to:
            raise ValueError(f"expected an offset after {self._read_to}, found {offset}; offer each record once")
        try:
            batch = decode_batch(record)
        except Malformed as error:
            found = str(error).removeprefix(f"expected {LEDGER_BATCH}").removeprefix(", found ").removeprefix(": ")
            raise Damaged(offset, LEDGER_BATCH, found) from None
        if batch.pool != self.pool:
            raise Damaged(offset, f"a record of pool {self.pool}", "a record of another pool")
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
            return Ignored("the record follows an earlier one: its writer had been overtaken")
        if self._from_genesis:
            raise Damaged(offset, "the hash of an earlier record as prev_hash", "the hash of no record before it")
        return Ignored("the record follows none that was read since the snapshot", is_orphan=True)

    def _check_place(self, offset: int, batch: Batch) -> None:
        """Damaged unless seq and epoch fit. The record follows the head by hash, so its writer had read the head: a
        wrong number is no zombie's."""
        opens = any(isinstance(event, Opened) for event in batch.events)
        if opens and (len(batch.events) != 1 or batch.inputs):
            raise Damaged(offset, "Opened alone in its record", "other events or inputs beside it")
        expected = (self.seq + 1, self.epoch + 1 if opens else self.epoch)
        if (batch.seq, batch.epoch) != expected or batch.epoch < 1:
            raise Damaged(
                offset,
                f"seq {expected[0]} and epoch {max(1, expected[1])}{'' if opens or self.epoch else ' of an Opened'}",
                f"seq {batch.seq} and epoch {batch.epoch}",
            )


def follows(head_hash: str, batch: Batch) -> bool:
    """Whether the batch follows the head. Seam: the simulation's broken variants replace this function."""
    return batch.prev_hash == head_hash


def is_known(known: set[bytes], prev_hash: str) -> bool:
    """Whether a batch with this `prev_hash` follows a known record. Seam: see `follows`."""
    try:
        return bytes.fromhex(prev_hash) in known
    except ValueError:
        return False
