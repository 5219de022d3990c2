"""Heaps of (when, job) that are emptied lazily. Part of `evolve`.

Whoever takes the meaning from an entry calls `settle`, which drops leftovers once they come first. So the first entry
is always live, and readers never write. Without that call a reader would act on a job that has moved on.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop

from scheduling.state.pool import State

Heap = list[tuple[int, str]]
LEFTOVERS_MAX = 64
"""A heap is built anew when its leftovers outnumber the pool's jobs by this."""


def settle(state: State, heap: Heap, is_live: Callable[[State, tuple[int, str]], bool]) -> None:
    """Some entry may be live no longer. A job has at most one live entry."""
    while heap and not is_live(state, heap[0]):
        heappop(heap)
    if len(heap) > 2 * len(state.jobs) + LEFTOVERS_MAX:
        heap[:] = [entry for entry in heap if is_live(state, entry)]
        heapify(heap)
