"""Whether a preparation is still wanted, and how much of its time is left: what works on it asks between its steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cpu_worker.rules.verdicts import PreparationAbandoned, PreparationTimeOver


class PreparationTime:
    """Any thread may use it."""

    def __init__(
        self,
        whole_s: float,
        now_s: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        """`pause(seconds)` lets so much time pass by the clock `now_s`, or less once nobody wants the preparation."""
        self._now_s = now_s
        self._ends_s = now_s() + whole_s
        self._abandoned = threading.Event()
        self._pause = pause or self._abandoned.wait
        self.met_outage = False
        """Something of ours was away, so that the time which is over was not all the media's."""

    def abandon(self) -> None:
        self._abandoned.set()

    @property
    def is_abandoned(self) -> bool:
        return self._abandoned.is_set()

    @property
    def is_over(self) -> bool:
        return self.is_abandoned or self._now_s() >= self._ends_s

    def look(self) -> None:
        """PreparationAbandoned, PreparationTimeOver."""
        if self.is_abandoned:
            raise PreparationAbandoned
        if self.is_over:
            raise PreparationTimeOver

    def left_s(self) -> float:
        """PreparationAbandoned, PreparationTimeOver."""
        self.look()
        return max(0.0, self._ends_s - self._now_s())

    def rest(self, seconds: float) -> None:
        """Let so much time pass. PreparationAbandoned, PreparationTimeOver."""
        self._pause(min(seconds, self.left_s()))
        self.look()
