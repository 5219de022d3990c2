"""A second, naive implementation of what switches cost and how often they may be made (docs/decisions/0012)."""

from __future__ import annotations

from dataclasses import dataclass

MEMORY, CLEAR = 128, 16


@dataclass
class Average:
    count: int = 0
    mean: int = 0
    off: int = 0

    def take(self, value: int) -> None:
        self.count = min(self.count + 1, MEMORY)
        if self.count == 1:
            self.mean, self.off = value, abs(value) // 2
            return
        away = value - self.mean
        self.off += (abs(away) - self.off) // self.count
        self.mean += away // self.count


class NaiveSwitches:
    def __init__(self) -> None:
        self._warm: dict[str, Average] = {}
        self._loads = Average()
        self._running: dict[str, tuple[int, bool]] = {}
        """By job: when its attempt started, and whether its version was loaded on the slot."""
        self._last_ms: dict[str, int] = {}
        """By class: when a job last went to a slot that did not have its version loaded."""

    def dispatched(self, kind: str, is_loaded: bool, now_ms: int) -> None:
        if not is_loaded:
            self._last_ms[kind] = now_ms

    def started(self, job: str, is_loaded: bool, now_ms: int) -> None:
        self._running[job] = now_ms, is_loaded

    def succeeded(self, job: str, version: str, now_ms: int) -> None:
        started_ms, was_loaded = self._running.pop(job)
        if was_loaded:
            self._warm.setdefault(version, Average()).take(now_ms - started_ms)
        elif version in self._warm:
            self._loads.take(now_ms - started_ms - self._warm[version].mean)

    @property
    def load_ms(self) -> int:
        loads = self._loads
        return loads.mean if loads.mean > 0 and loads.mean**2 * loads.count > CLEAR * loads.off**2 else 0

    def is_recent(self, kind: str, slots: int, percent: int, now_ms: int) -> bool:
        """Whether the last switch of the class is so recent that another would cost too much."""
        return now_ms - self._last_ms.get(kind, 0) < self.load_ms * 100 // (percent * max(1, slots))
