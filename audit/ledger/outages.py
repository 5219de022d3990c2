"""When nothing was decided because no scheduler led the pool or the broker was away, by the times of records alone.

A pool with something under way writes a record at least every TICK_MS. What a gap has beyond TICK_MS, and beyond the
lease time that the record after the gap counts, is an outage. All of the time from the last record before an `Opened`
to the newcomer's first decision is an outage too. A broker's clock that jumps ahead looks like an outage."""

from __future__ import annotations

from contract.batch import TICK_MS, Batch
from contract.events import Opened
from scheduling.state.pool import State

LATE_MS = 1_000
"""A tick may be late by this much: before each tick the scheduler asks the broker where `jobs` ends."""


def opens(batch: Batch | None) -> bool:
    """The batch is an Opened, the first record of a newcomer."""
    return batch is not None and len(batch.events) == 1 and isinstance(batch.events[0], Opened)


def led_until(state: State, batch: Batch | None, until_ms: int, *, taken_over: bool) -> int:
    """The moment up to which the pool was led after the state's record; from there to `until_ms` is an outage.

    `batch` comes at `until_ms`; None when no batch has come since. `taken_over`: the state's record is an Opened."""
    if taken_over or opens(batch):
        return state.now_ms
    if not state.jobs and not state.nodes:  # with nothing under way no tick is promised
        return until_ms
    led_ms = state.now_ms + max(TICK_MS, batch.elapsed_ms if batch is not None else 0)
    return led_ms if until_ms - led_ms >= LATE_MS else until_ms
