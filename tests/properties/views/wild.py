"""Ledgers as no scheduler of today writes them: numbers of any size, text with NUL or as long as a record, events that
may not happen, happen twice, or are missing. A ledger is for ever, and old doors took more."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
from hypothesis import strategies as st

from contract.batch import Batch
from contract.events import Event
from contract.policy import Cluster, Tier

NUMBERS = (-(2**63) - 1, -1, 2**31, 2**53, 2**63 - 1, 2**63, 2**70, 10**4299)
TEXTS = ("a\0b", "\0", "é" * 501, "x" * 5_000, "\U0001f600" * 700, "", "\ufffd")

Wild = tuple[int, int, int]
"""(which event, which of its fields, the value instead). Each number is taken modulo the number of choices."""


def some(seed: int, number: int) -> list[Wild]:
    """Evenly spread, whatever small numbers hypothesis likes to draw."""
    chance = Random(seed)
    return [(chance.randrange(1_000), chance.randrange(1_000), chance.randrange(1_000)) for _ in range(number)]


WILDS = st.builds(some, st.integers(0, 2**32 - 1), st.integers(1, 6))
CUTS = st.lists(st.tuples(st.sampled_from(("drop", "double", "swap")), st.integers(0, 999)), max_size=3)


def wild_value(value: Any, choice: int) -> Any:
    """Another value of the same type, which a ledger's reader takes."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return NUMBERS[choice % len(NUMBERS)]
    if isinstance(value, str):
        return TEXTS[choice % len(TEXTS)]
    if isinstance(value, tuple) and value and all(isinstance(part, str) for part in value):
        return (TEXTS[choice % len(TEXTS)], *value)
    if isinstance(value, msgspec.Struct):
        return wild_struct(value, choice, choice // 3)
    if isinstance(value, dict):
        return {**value, TEXTS[choice % len(TEXTS)]: wild_entry(value, choice)}
    return value


def wild_entry(value: dict[str, Any], choice: int) -> Any:
    some = next(iter(value.values()), 1)
    return wild_struct(some, choice, choice) if isinstance(some, Tier | Cluster) else wild_value(some, choice)


def wild_struct(value: Any, field: int, choice: int, fixed: frozenset[str] = frozenset()) -> Any:
    """The same record with one wild field. Fields named in `fixed` stay."""
    names = [name for name in value.__struct_fields__ if name not in fixed]
    if not names:
        return value
    name = names[field % len(names)]
    return msgspec.structs.replace(value, **{name: wild_value(getattr(value, name), choice)})


def with_events(batch: Batch, events: list[Event]) -> Batch:
    return msgspec.structs.replace(batch, events=tuple(events))


def events_of(batches: list[Batch], job: str = "") -> list[tuple[int, int]]:
    """(batch, index) of each event, or of each event of this job."""
    return [
        (at, index)
        for at, batch in enumerate(batches)
        for index, event in enumerate(batch.events)
        if not job or getattr(event, "job", "") == job
    ]


def gone_wild(
    batches: list[Batch], wilds: list[Wild], job: str = "", fixed: frozenset[str] = frozenset()
) -> list[Batch]:
    """The same ledger with some fields of some events, of this job or of any, saying something else. Its hashes are
    not made to fit: the views do not look at them, `contract.chain` does."""
    changed = [list(batch.events) for batch in batches]
    places = events_of(batches, job)
    for which, field, choice in wilds if places else ():
        at, index = places[which % len(places)]
        changed[at][index] = wild_struct(changed[at][index], field, choice, fixed)
    return [with_events(batch, events) for batch, events in zip(batches, changed, strict=True)]


def cut_up(batches: list[Batch], cuts: list[tuple[str, int]]) -> list[Batch]:
    """The same ledger with some events missing, there twice, or in another order."""
    changed = [list(batch.events) for batch in batches]
    for how, which in cuts:
        places = [(at, index) for at, events in enumerate(changed) for index in range(len(events))]
        at, index = places[which % len(places)]
        events = changed[at]
        if how == "drop":
            del events[index]
        elif how == "double":
            events.insert(index, events[index])
        else:
            events.append(events.pop(index))
    return [with_events(batch, events) for batch, events in zip(batches, changed, strict=True)]
