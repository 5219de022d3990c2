"""When nothing was decided: no scheduler led the pool, or the broker was away. By the times of its records alone.

A pool with something under way writes a record at least every TICK_MS; what a gap has beyond that, and beyond the lease
time that its record counts, is an outage. So is all of the time before an `Opened`, and from it to the newcomer's first
decision. A broker's clock that jumps ahead looks the same.
"""

from __future__ import annotations

from contract.batch import TICK_MS, Batch
from contract.events import Opened
from scheduling.state.pool import State

LATE_MS = 1_000
"""A tick up to so much later is ordinary: before each the broker is asked where `jobs` ends."""


def opens(batch: Batch | None) -> bool:
    """The record is a newcomer's first."""
    return batch is not None and len(batch.events) == 1 and isinstance(batch.events[0], Opened)


def led_until(state: State, batch: Batch | None, until_ms: int, *, taken_over: bool) -> int:
    """Up to when, after the state's record and before `until_ms`, the pool was led; what is left is an outage.

    `batch` comes at `until_ms`, None when nothing has come since; `taken_over`: the state's record is an Opened."""
    if taken_over or opens(batch):
        return state.now_ms
    if not state.jobs and not state.nodes:  # nothing under way: no tick is promised
        return until_ms
    led_ms = state.now_ms + max(TICK_MS, batch.elapsed_ms if batch is not None else 0)
    return led_ms if until_ms - led_ms >= LATE_MS else until_ms
