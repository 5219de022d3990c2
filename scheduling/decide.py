"""The one door: what a batch of inputs leads to, at this time.

A batch is: the header's times, then each input judged and evolved in turn, then plan, evolved event by event.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from contract.batch import BATCH_EVENTS_MAX
from contract.events import Event, Opened
from contract.inputs import Input
from scheduling import RULES, evolve, judge, plan
from scheduling.state import State


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


def decide(state: State, inputs: Sequence[Input], clock: Clock) -> list[Event]:
    """The events of the next batch; `state` is evolved by them.

    What is left to the caller is `evolve.seal(state, record_hash, offset, position)` once the record is appended.
    When len(result) >= BATCH_EVENTS_MAX, plan was cut: decide again at once, with no inputs.
    """
    evolve.begin(state, clock.epoch, clock.seq, clock.now_ms, clock.elapsed_ms)
    events: list[Event] = []
    for record in inputs:
        for event in judge.judge(state, record):
            evolve.evolve(state, event)
            events.append(event)
    for event in plan.plan(state, clock.caught_up, events, BATCH_EVENTS_MAX):
        evolve.evolve(state, event)
        events.append(event)
    return events


def open_pool(state: State, session: str, release: str, clock: Clock) -> list[Event]:
    """The events of a newcomer's first record: Opened alone, with no inputs. Its clock has epoch state.epoch + 1.

    Does not touch `state`: the newcomer folds its own record when it has read it back and it counts.
    ValueError when the clock does not follow the state."""
    if clock.epoch != state.epoch + 1 or clock.seq != state.seq + 1:
        raise ValueError(
            f"expected a clock with epoch {state.epoch + 1} and seq {state.seq + 1},"
            f" found {clock.epoch} and {clock.seq}; fold the ledger to its end first"
        )
    return [Opened(session=session, release=release, rules=RULES)]
