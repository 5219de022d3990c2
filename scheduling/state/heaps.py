"""Heaps of (when, job) that are emptied lazily. Part of `evolve`.

Whatever makes an entry mean nothing any more calls `settle`: leftovers go once they come first, so the first entry is
always live and readers never write.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop

from scheduling.state.pool import State

Heap = list[tuple[int, str]]
LEFTOVERS_MAX = 64
"""A heap is built anew when it holds more leftovers than there are jobs and this."""


def settle(state: State, heap: Heap, is_live: Callable[[State, tuple[int, str]], bool]) -> None:
    """Some entry may be live no longer. A job has at most one that is."""
    while heap and not is_live(state, heap[0]):
        heappop(heap)
    if len(heap) > 2 * len(state.jobs) + LEFTOVERS_MAX:
        heap[:] = [entry for entry in heap if is_live(state, entry)]
        heapify(heap)
