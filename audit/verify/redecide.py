"""The same decision again: recorded inputs and times go through the production code and must give the same bytes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from audit.ledger.reader import LedgerSource
from audit.verify.verdict import UnknownRules
from contract.batch import Batch
from contract.chain import Chain, Counted
from contract.codec import encode_batch, tag_of
from contract.events import Event, Opened
from scheduling import RULES
from scheduling.decide import Clock, decide
from scheduling.evolve import fold, seal
from scheduling.state.pool import State, initial_state


def is_decision(batch: Batch) -> bool:
    """The batch is anything but an Opened."""
    return not (batch.events and isinstance(batch.events[0], Opened))


def has_rules(state: State) -> bool:
    """This release has the rules of the scheduler that leads in this state."""
    return state.rules == RULES


class RedecidedState:
    """The state of a pool, moved over each batch: by deciding the batch again where this release has its rules, by
    folding it elsewhere. From the first batch whose decision differs on, every batch is folded."""

    def __init__(self, source: LedgerSource, pool: str) -> None:
        self.state = initial_state(pool)
        self.decided = 0
        """Batches that were decided again, equal byte for byte."""
        self.undecided = 0
        """The batch whose decision differs first, and the batches after it."""
        self._source, self._pool = source, pool
        self._differs = False
        self._unknown: Counter[tuple[int, str]] = Counter()

    def advance(self, offset: int, record: bytes, batch: Batch, record_hash: str) -> str:
        """Moves over a batch; empty when nothing is wrong, else the difference in words. After a difference call
        `fold_to`, which repairs the state. Raises whatever the fold raises over an edited batch."""
        state = self.state
        if not is_decision(batch) or not has_rules(state) or self._differs:
            if is_decision(batch) and not has_rules(state):
                self._unknown[state.rules, state.release] += 1
            elif is_decision(batch):
                self.undecided += 1
            fold(state, batch, record_hash, offset)
            return ""
        try:
            difference = decide_again(state, batch, record, record_hash, offset)
        except Exception as broken:  # any fault of the record or of ours is a difference at this record
            difference = f"deciding it again is impossible: {type(broken).__name__}: {broken}"
        if difference:
            self._differs = True
            self.undecided += 1
        else:
            self.decided += 1
        return difference

    def fold_to(self, offset: int) -> None:
        """Makes the state again, from the ledger's beginning to this record, by what is recorded."""
        self.state, chain = initial_state(self._pool), Chain(self._pool)
        for record in self._source():
            if record.offset > offset:
                break
            judged = chain.offer(record.offset, record.value)
            if isinstance(judged, Counted):
                fold(self.state, judged.batch, judged.hash, record.offset)

    @property
    def unknown(self) -> tuple[UnknownRules, ...]:
        """Batches of rules that this release does not have."""
        return tuple(UnknownRules(rules, release, n) for (rules, release), n in sorted(self._unknown.items()))


def decide_again(state: State, batch: Batch, record: bytes, record_hash: str, offset: int) -> str:
    """Decides the batch from `state`, which evolves. Empty when the result is exactly the record, else the difference
    in words; after a difference `state` is worthless."""
    clock = Clock(batch.epoch, batch.seq, batch.now_ms, batch.elapsed_ms, batch.caught_up)
    decision = decide(state, batch.inputs, clock)
    seal(state, record_hash, offset, batch.position)
    if decision.taken < len(batch.inputs):
        return f"the record has {len(batch.inputs)} inputs; decided again it is full after {decision.taken} of them"
    if encode_batch(msgspec.structs.replace(batch, events=()), decision.encoded) == record:
        return ""
    return difference(batch.events, tuple(decision.events))


def difference(recorded: tuple[Event, ...], decided: tuple[Event, ...]) -> str:
    """The first place where two lists of events differ, for a person."""
    for index, (was, now) in enumerate(zip(recorded, decided, strict=False)):
        if was != now:
            return f"event {index} of the record is {_said(was, now)}; decided again it is {_said(now, was)}"
    if len(recorded) == len(decided):
        return "the events are equal and the bytes are not: the record was not written by our encoder"
    if len(recorded) > len(decided):
        extra = recorded[len(decided)]
        return f"event {len(decided)} of the record is {_said(extra)}; decided again there is no such event"
    missing = decided[len(recorded)]
    return f"the record ends after event {len(recorded) - 1}; decided again there follows {_said(missing)}"


def _said(event: Event, other: Event | None = None) -> str:
    """An event's name, its job or node, and the fields in which it differs from another event of its type."""
    if other is not None and type(event) is type(other):
        names = [n for n in event.__struct_fields__ if getattr(event, n) != getattr(other, n)]
        who = [n for n in ("job", "node") if n in event.__struct_fields__ and n not in names]
        return f"{tag_of(event)} with " + ", ".join(f"{n}={_value(event, n)}" for n in who + names)
    return f"{tag_of(event)} with " + ", ".join(f"{n}={_value(event, n)}" for n in event.__struct_fields__)


def _value(event: Event, name: str) -> str:
    value: Any = getattr(event, name)
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 120 else text[:117] + "…"
