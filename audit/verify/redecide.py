"""The same decision again: recorded inputs and times through the production code, compared byte for byte."""

from __future__ import annotations

from typing import Any

import msgspec

from contract.batch import Batch
from contract.codec import encode_batch, tag_of
from contract.events import Event, Opened
from scheduling import RULES
from scheduling.decide import Clock, decide
from scheduling.evolve import seal
from scheduling.state.pool import State


def is_decision(batch: Batch) -> bool:
    """Everything but an Opened."""
    return not (batch.events and isinstance(batch.events[0], Opened))


def has_rules(state: State) -> bool:
    """This release has the rules by which the scheduler that leads now decides."""
    return state.rules == RULES


def decide_again(state: State, batch: Batch, record: bytes, record_hash: str, offset: int) -> str:
    """Decides the batch from `state`, which is evolved by it; empty when the record is exactly what comes out, else
    the difference in words. After a difference `state` is worthless."""
    clock = Clock(batch.epoch, batch.seq, batch.now_ms, batch.elapsed_ms, batch.caught_up)
    decision = decide(state, batch.inputs, clock)
    seal(state, record_hash, offset, batch.position)
    if decision.taken < len(batch.inputs):
        return f"the record has {len(batch.inputs)} inputs; decided again it is full after {decision.taken} of them"
    if encode_batch(msgspec.structs.replace(batch, events=()), decision.encoded) == record:
        return ""
    return difference(batch.events, tuple(decision.events))


def difference(recorded: tuple[Event, ...], decided: tuple[Event, ...]) -> str:
    """Where two lists of events differ first, for a person."""
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
    """An event's name, its job or node, and the fields in which it differs from another of its kind."""
    if other is not None and type(event) is type(other):
        names = [n for n in event.__struct_fields__ if getattr(event, n) != getattr(other, n)]
        who = [n for n in ("job", "node") if n in event.__struct_fields__ and n not in names]
        return f"{tag_of(event)} with " + ", ".join(f"{n}={_value(event, n)}" for n in who + names)
    return f"{tag_of(event)} with " + ", ".join(f"{n}={_value(event, n)}" for n in event.__struct_fields__)


def _value(event: Event, name: str) -> str:
    value: Any = getattr(event, name)
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 120 else text[:117] + "…"
