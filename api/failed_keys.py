"""A bucket for failed keys: how often an address may send keys that the database does not know."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from cachetools import LRUCache

AT_ONCE_MAX = 30
PER_S = 1.0
"""After AT_ONCE_MAX wrong keys an address may send so many more a second."""
ADDRESSES_MAX = 10_000
"""Addresses that are remembered. A flood from more of them is bounded by the threads that look keys up."""


class _Level(NamedTuple):
    failed: float
    at_s: float


class FailedKeys:
    """Used in one event loop."""

    def __init__(self, now_s: Callable[[], float] = monotonic) -> None:
        self._now_s = now_s
        self._levels: LRUCache[str, _Level] = LRUCache(ADDRESSES_MAX)

    def wait_s(self, address: str) -> int:
        """How long the address has to wait before it may send a key that is not known here. 0: not at all."""
        over = self._level(address) - AT_ONCE_MAX + 1
        return math.ceil(over / PER_S) if over > 0 else 0

    def failed(self, address: str) -> None:
        """The address has sent a key that the database does not know."""
        self._levels[address] = _Level(self._level(address) + 1, self._now_s())

    def _level(self, address: str) -> float:
        level = self._levels.get(address)
        return 0.0 if level is None else max(0.0, level.failed - (self._now_s() - level.at_s) * PER_S)
