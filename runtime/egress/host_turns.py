"""How many connections one host has at once: users' URLs must not make us the ones who flood it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from runtime.egress.refusal import EgressRefused, EgressTrouble


class HostTurns:
    """Thread-safe. A key is a host's name or an address."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._taken: Counter[str] = Counter()
        self._freed = threading.Condition()

    @contextmanager
    def turn(self, key: str, limit_s: float) -> Iterator[None]:
        """Wait for a turn at the key, and have it until the end. EgressRefused after `limit_s`."""
        with self._freed:
            if not self._freed.wait_for(lambda: self._taken[key] < self._at_once, limit_s):
                raise EgressRefused(
                    EgressTrouble.BUSY,
                    "expected a turn at the server, found that other fetches from it take too long; try again later",
                )
            self._taken[key] += 1
        try:
            yield
        finally:
            with self._freed:
                self._taken[key] -= 1
                if not self._taken[key]:
                    del self._taken[key]
                self._freed.notify_all()
