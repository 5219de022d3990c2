"""A clock that a test owns: waiting costs no time, and passes it."""

from __future__ import annotations

import threading


class TwinClock:
    """Seconds since the test began. Any thread."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._lock = threading.Lock()

    def now_s(self) -> float:
        return self._now_s

    def pass_(self, seconds: float) -> None:
        """Let so much time pass."""
        with self._lock:
            self._now_s += seconds
