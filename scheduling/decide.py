"""The one door: what a batch of inputs leads to, at this time.

A batch is: the header's times, then each input judged, then the plan. `evolving` evolves each event of both before
the next one is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from contract.batch import BATCH_EVENTS_MAX, EVENT_BYTES_MAX
from contract.codec import encode
from contract.events import Event, Opened
from contract.inputs import Input
from scheduling import RULES, evolve, judge, plan
from scheduling.attempts import withdrawals
from scheduling.state import avoidance
from scheduling.state.pool import State


class Clock(msgspec.Struct, frozen=True):
    """What a batch knows of time and place; the ledger record repeats it, so a decision can be made again."""

    epoch: int
    """Of the writer: the epoch its Opened counted with."""
    seq: int
    """Of the record that this batch becomes: the last one that counted, plus one."""
    now_ms: int
    """The broker's clock; no less than the last batch's (the host clamps it)."""
    elapsed_ms: int
    """Lease time since the writer's own last batch, 0 to 10,000."""
    caught_up: bool
    """The inputs reach the end of `jobs` as it was when the batch was begun: leases may lapse."""


class Decision(msgspec.Struct, frozen=True):
    """What a batch comes to."""

    events: list[Event]
    encoded: list[bytes]
    """Each event's bytes, as they stand in the record (contract.codec.encode_batch)."""
    taken: int
    """How many of the inputs were judged: the first so many."""
    is_full: bool
    """There may be more to say: decide again at once, with the inputs that were not taken."""


class Written:
    """The events of the batch that is being decided, each encoded once: their bytes say when the batch is full."""

    __slots__ = ("encoded", "events", "size_bytes")

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.encoded: list[bytes] = []
        self.size_bytes = 0

    def add(self, event: Event) -> None:
        record = encode(event)
        self.events.append(event)
        self.encoded.append(record)
        self.size_bytes += len(record) + 1

    def is_full(self) -> bool:
        """Nothing more may be begun."""
        return self.size_bytes >= EVENT_BYTES_MAX or len(self.events) >= BATCH_EVENTS_MAX


def evolving(state: State, events: Iterator[Event]) -> Iterator[Event]:
    """These events, each evolved into `state` before it is given out.

    Judgements and plans are generators that read what their last event changed. This is the only place that asks them
    for events (an import rule keeps others away), so none is ever asked for on a state that lacks the one before: two
    reports of one record would otherwise both count, and two dispatches would take one slot."""
    for event in events:
        evolve.evolve(state, event)
        yield event


def decide(state: State, inputs: Sequence[Input], clock: Clock) -> Decision:
    """The events of the next batch; `state` is evolved by them. At least one input is taken when there is any.

    A full batch takes no further input and plans nothing more. Its events alone say whether a batch is full, so the
    record's own inputs, decided again, give the same bytes. The caller calls
    `evolve.seal(state, record_hash, offset, position)` once the record is appended.
    When this raises, `state` is half moved and must be dropped: fold the ledger anew."""
    evolve.begin(state, clock.epoch, clock.seq, clock.now_ms, clock.elapsed_ms)
    written = Written()
    taken = 0
    for record in inputs:
        if written.is_full():
            break
        for event in evolving(state, judge.judge(state, record)):
            written.add(event)
        taken += 1
    if state.avoiders:
        avoidance.line_up(state)
    for event in evolving(state, plan.plan(state, clock.caught_up, written.events, written.is_full)):
        written.add(event)
        if state.avoiders:
            avoidance.line_up(state)
    is_full = written.is_full() or withdrawals.is_under_way(state)
    return Decision(written.events, written.encoded, taken, is_full)


def open_pool(state: State, session: str, release: str, clock: Clock, signed_from: int = -1) -> list[Event]:
    """The events of a newcomer's first record: Opened alone, with no inputs. Its clock has epoch state.epoch + 1.

    `signed_from`: from where in `jobs` the newcomer asks for signatures; -1: it has no keys. What an earlier Opened has
    said stays: a record that had to be signed once has to be signed for ever.
    Does not touch `state`: the newcomer folds its own record when it has read it back and it counts.
    ValueError when the clock does not follow the state."""
    if clock.epoch != state.epoch + 1 or clock.seq != state.seq + 1:
        raise ValueError(
            f"expected a clock with epoch {state.epoch + 1} and seq {state.seq + 1},"
            f" found {clock.epoch} and {clock.seq}; fold the ledger to its end first"
        )
    kept = state.signed_from if state.signed_from >= 0 else signed_from
    return [Opened(session=session, release=release, rules=RULES, signed_from=kept)]
