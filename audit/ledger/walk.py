"""The state of a pool at every record of its ledger, folded by the production code, from a snapshot where there is one.

Theory of operation. A `Walk` yields each record that counts, in order, *before* it folds the record. So `state` is what
held between the record before and this record, and the batch says when that ended and what came. A walk begins at a
stored snapshot or at the ledger's beginning. From a snapshot it reads the snapshot's last record again, whose hash must
be the one that the snapshot names.

The walk ends where the ledger can no longer be believed. `damage` then says which record is bad and up to which record
the ledger can be trusted; everything folded before the damage stands. A walk that began at a snapshot does not know
every earlier record, so it can't tell the record of an overtaken scheduler from a record after an edited one. When the
walk meets a record that may be the second, it raises `Unsure`, and `walked` reads the ledger from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from audit.ledger.damage import Damage
from audit.ledger.diagnosis import diagnose
from audit.ledger.outages import opens
from audit.ledger.past import LedgerPast
from contract.batch import Batch, hash_of
from contract.chain import Chain, Counted, Damaged
from contract.codec import decode_batch
from scheduling.evolve import fold
from scheduling.state.pool import State, initial_state

T = TypeVar("T")


class Unsure(Exception):
    """A walk that began at a snapshot can't tell whether the ledger is damaged: read the ledger from its beginning."""


class Walk:
    """One reading of a ledger. Iterate over a walk once; ask for `state` and `damage` at any time."""

    def __init__(self, past: LedgerPast, state: State) -> None:
        """Folds on from `state`: the state of a snapshot, or the initial one."""
        self.state = state
        self.damage: Damage | None = None
        self.records = 0
        """Records read so far."""
        self.began_offset = state.head_offset
        """Offset of the last record in the state that the walk began with; -1: the ledger's beginning."""
        self.began_opened = False
        """The record at `began_offset` is an Opened. The walk knows this once you ask for the first record after it."""
        self._past = past
        self._began_seq = state.seq
        self._began_hash = state.head_hash

    @property
    def whole(self) -> bool:
        """The walk began at the ledger's beginning."""
        return self.began_offset < 0

    def __iter__(self) -> Iterator[tuple[int, Batch]]:
        """(offset, batch) of each record that counts, before the record is folded. Unsure."""
        chain = self._chain()
        last = self.began_offset
        held: tuple[int, Counted] | None = None
        for record in self._past.growing(max(0, self.began_offset)):
            self.records += 1
            if record.offset == self.began_offset:
                if hash_of(record.value) != self._began_hash:
                    raise Unsure
                self.began_opened = opens(decode_batch(record.value))
                continue
            if record.offset != last + 1:
                if held is not None:
                    yield from self._fold(held)
                self._stop(last + 1, f"expected offset {last + 1} next, found {record.offset}")
                return
            last = record.offset
            try:
                judged = chain.offer(record.offset, record.value)
            except Damaged as damaged:
                found = diagnose(partial(self._past.ledger, record.offset), record, chain, damaged)
                if held is not None and not found.head_is_suspect:
                    yield from self._fold(held)
                self._stop(record.offset, found.text)
                return
            if isinstance(judged, Counted):
                if held is not None:
                    yield from self._fold(held)
                now_ms = judged.batch.now_ms
                if now_ms < self.state.now_ms:
                    self._stop(record.offset, f"expected a time of at least {self.state.now_ms} ms, found {now_ms} ms")
                    return
                held = (record.offset, judged)
            elif judged.is_orphan and decode_batch(record.value).seq > self._began_seq:
                raise Unsure
            if self.damage is not None:
                return
        if held is not None:
            yield from self._fold(held)
        if self.damage is None:
            self.damage = self._past.cut_after(self.state)

    def believed(self) -> Iterator[Batch]:
        """Each record that counts, after the record was folded; a record that can't be folded is left out. Unsure."""
        before: tuple[int, Batch] | None = None
        for at in self:
            if before is not None:
                yield before[1]
            before = at
        if before is not None and self.state.head_offset == before[0]:
            yield before[1]

    def _fold(self, held: tuple[int, Counted]) -> Iterator[tuple[int, Batch]]:
        """Yields and folds a record. The caller holds a record back until the next record vouches for it, or the ledger
        ends."""
        offset, judged = held
        before_ms = self.state.now_ms
        yield offset, judged.batch
        try:
            fold(self.state, judged.batch, judged.hash, offset)
        except Exception as broken:  # an edited ledger or a defect of ours: the reading ends here
            text = f"the state can't be folded over it: {type(broken).__name__}: {broken}"
            self.damage = Damage(offset, text, self.state.head_offset, before_ms)

    def _chain(self) -> Chain:
        state = self.state
        if self.whole:
            return Chain(state.pool)
        return Chain.at(state.pool, state.head_hash, state.seq, state.epoch, state.head_offset)

    def _stop(self, offset: int, text: str) -> None:
        if self.damage is None:  # the first damage stays
            self.damage = Damage(offset, text, self.state.head_offset, self.state.now_ms)


def walked(past: LedgerPast, at_ms: int, follow: Callable[[Walk], T]) -> T:
    """What `follow` makes of a walk that begins at the nearest snapshot before `at_ms`. If `follow` raises Unsure, the
    answer comes from a second walk, which begins at the ledger's beginning."""
    walk = Walk(past, past.state_before(at_ms))
    if not walk.whole:
        try:
            return follow(walk)
        except Unsure:
            pass
    return follow(Walk(past, initial_state(past.pool)))
