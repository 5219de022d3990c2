"""How many connections one host has at once: users' URLs must not make us the ones who flood it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from runtime.egress.patience import LOOK_S, Patience
from runtime.egress.refusal import EgressRefused, EgressTrouble


class HostTurns:
    """Thread-safe. A key is a host's name or an address."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._taken: Counter[str] = Counter()
        self._freed = threading.Condition()

    @contextmanager
    def turn(self, key: str, patience: Patience) -> Iterator[None]:
        """Wait for a turn at the key, and have it until the end. EgressRefused after that time. EgressCancelled."""
        ends_s = time.monotonic() + patience.turn_s()
        with self._freed:
            while self._taken[key] >= self._at_once:
                patience.look()
                left_s = ends_s - time.monotonic()
                if left_s <= 0:
                    raise EgressRefused(
                        EgressTrouble.BUSY,
                        "expected a turn at the server, found that other fetches from it take too long; "
                        "try again later",
                    )
                self._freed.wait(min(left_s, LOOK_S))
            self._taken[key] += 1
        try:
            yield
        finally:
            with self._freed:
                self._taken[key] -= 1
                if not self._taken[key]:
                    del self._taken[key]
                self._freed.notify_all()
