"""Readers that run the production code, held against each other and against the auditor (I7, I14).

One reader decides every record from the beginning again. Whatever else claims to know the state (a snapshot, a
snapshot with its tail) must have its state hash at the same record. The second book of `verify` reads along: it must
find nothing in a ledger in which the auditor finds nothing.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from audit.verify.second_book import SecondBook
from contract.batch import hash_of
from contract.chain import Chain, Counted, Damaged
from contract.codec import encode
from contract.events import Opened
from contract.topics import LEDGER
from scheduling import snapshot
from scheduling.decide import Clock, decide
from scheduling.evolve import fold, seal
from scheduling.invariants import check
from scheduling.state.pool import State, initial_state
from streams.ledger.outputs import SnapshotReady
from tests.simulation.log import Record
from tests.simulation.schedulers import POOL
from tests.simulation.timeline import Timeline
from tests.simulation.violation import Violation

CHECK_EVERY = 40
"""How many records lie between two looks at the core's own invariants and at a state that was encoded and decoded."""


class ProductionReader:
    def __init__(self) -> None:
        self._state = initial_state(POOL)
        self._chain = Chain(POOL)
        self._counted: dict[int, str] = {}
        self._second_book = SecondBook()

    def read(self, record: Record, counts: bool) -> None:
        """Takes the next record. `counts` is the auditor's judgement of the record."""
        assert record.value is not None
        try:
            judged = self._chain.offer(record.offset, record.value)
        except Damaged as damage:
            raise Violation("I14", f"a reader calls a sound ledger damaged: {damage}") from None
        if isinstance(judged, Counted) is not counts:
            raise Violation(
                "I14", f"record {record.offset} {'counts' if counts else 'does not count'}, a reader differs"
            )
        if not isinstance(judged, Counted):
            return
        self._advance(record.offset, record.value, judged)
        self._counted[record.offset] = judged.hash
        for finding in self._second_book.take(record.offset, judged.batch):
            raise Violation(finding.invariant, f"the second book of verify: {finding.text}", finding.job)
        if len(self._counted) % CHECK_EVERY == 0:
            self._check()

    def _advance(self, offset: int, record: bytes, judged: Counted) -> None:
        """Decides the batch again from its inputs and times. The same bytes must come out (rule 2), whoever wrote the
        batch, from the beginning of the ledger or from a snapshot."""
        batch = judged.batch
        if batch.events and isinstance(batch.events[0], Opened):
            fold(self._state, batch, judged.hash, offset)
            return
        clock = Clock(batch.epoch, batch.seq, batch.now_ms, batch.elapsed_ms, batch.caught_up)
        decision = decide(self._state, batch.inputs, clock)
        seal(self._state, judged.hash, offset, batch.position)
        again = encode(msgspec.structs.replace(batch, events=tuple(decision.events)))
        if again != record or decision.taken < len(batch.inputs):
            raise Violation("I7", f"record {offset} is not what its inputs lead to: another reader decides otherwise")

    def _check(self) -> None:
        for complaint in check(self._state):
            raise Violation("I3", f"the core's own check: {complaint}")
        again = snapshot.decode(snapshot.encode(self._state))
        if snapshot.state_hash(again) != snapshot.state_hash(self._state):
            raise Violation("I7", f"a decoded snapshot differs at record {self._state.head_offset}")

    def check_snapshot(self, ready: SnapshotReady, ledger: list[Record]) -> None:
        """A snapshot names a record that counts, and is the fold of everything up to it."""
        if self._counted.get(ready.offset) != ready.record_hash:
            raise Violation("I7", f"a snapshot names record {ready.offset}, which does not count with that hash")
        state = self._state if self._state.head_offset == ready.offset else self._fold(ledger[: ready.offset + 1])
        if snapshot.state_hash(state) != snapshot.state_hash(snapshot.decode(ready.data)):
            raise Violation("I7", f"the snapshot at record {ready.offset} is not the fold of the ledger up to it")

    def _fold(self, ledger: list[Record]) -> State:
        state, chain = initial_state(POOL), Chain(POOL)
        for record in ledger:
            assert record.value is not None
            judged = chain.offer(record.offset, record.value)
            if isinstance(judged, Counted):
                fold(state, judged.batch, judged.hash, record.offset)
        return state

    def check_tail(self, data: bytes, ledger: list[Record]) -> None:
        """fold(snapshot + tail) = fold(all)."""
        state = snapshot.decode(data)
        chain = Chain.at(POOL, state.head_hash, state.seq, state.epoch, state.head_offset)
        for record in ledger[state.head_offset + 1 :]:
            assert record.value is not None
            judged = chain.offer(record.offset, record.value)
            if isinstance(judged, Counted):
                fold(state, judged.batch, judged.hash, record.offset)
        if snapshot.state_hash(state) != snapshot.state_hash(self._state):
            raise Violation("I7", "snapshot and tail give another state than the whole ledger")

    def check_tampering(self, ledger: list[Record], timeline: Timeline) -> None:
        """An edited record is found: a reader from the beginning stops at the record after it (I14). There is one
        exception: if the record was appended twice, the next record follows the copy, and the edit shows only to
        whoever decides again or remembers the head (tests/unit/audit)."""
        copies = Counter(record.value for record in ledger)
        offsets = [at for at in sorted(self._counted)[1:-1] if copies[ledger[at].value] == 1]
        if not offsets:
            return
        at = timeline.chance.choice(offsets)
        value = ledger[at].value
        assert value is not None
        edited = value.replace(b'"elapsed_ms":', b'"elapsed_ms": ', 1)
        assert hash_of(edited) != hash_of(value)
        chain = Chain(POOL)
        try:
            for record in ledger:
                chain.offer(record.offset, edited if record.offset == at else record.value or b"")
        except Damaged:
            return
        raise Violation("I14", f"record {at} of {LEDGER} was edited and a reader from the beginning did not find it")

    def check_end(self, ledger: list[Record], snapshots: list[tuple[int, str, bytes]], timeline: Timeline) -> None:
        self._check()
        for _, _, data in snapshots[-1:]:
            self.check_tail(data, ledger)
        self.check_tampering(ledger, timeline)
