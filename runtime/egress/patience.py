"""How long one fetch waits for the other side, at each step and in all."""

from __future__ import annotations

import math
from collections.abc import Callable

from runtime.egress.policy import EgressLimits
from runtime.egress.refusal import EgressCancelled, EgressRefused, EgressTrouble, unreachable

LOOK_S = 0.25
"""How often a fetch that waits looks whether it is still wanted."""

IsCancelled = Callable[[], bool]
"""Whether whoever asked wants the fetch no more: `threading.Event().is_set`."""

Clock = Callable[[], float]
"""Seconds that only grow."""


class Patience:
    """Of one fetch: its steps follow one another, and begin again with each redirect."""

    def __init__(
        self, limits: EgressLimits, clock: Clock, is_cancelled: IsCancelled, whole_s: float = math.inf
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._is_cancelled = is_cancelled
        self._whole_s = min(limits.whole_s, whole_s)
        self._ends_s = clock() + self._whole_s
        self._step_ends_s = math.inf
        self._step = ""
        self._head_bytes = 0
        self._window_waited_s = 0.0
        self._window_bytes = 0

    def begin_connecting(self) -> None:
        self._begin("connect", self._limits.connect_s)

    def begin_answer(self) -> None:
        self._begin("answer", self._limits.answer_s)
        self._head_bytes = 0

    def begin_body(self) -> None:
        self._begin("body", math.inf)
        self._window_waited_s, self._window_bytes = 0.0, 0

    def look(self) -> None:
        """EgressCancelled: the fetch is wanted no more."""
        if self._is_cancelled():
            raise EgressCancelled

    def turn_s(self) -> float:
        """How long to wait for a turn. EgressRefused, as every wait here when the whole time is over."""
        return min(self._limits.turn_s, self._whole_left_s())

    def resolve_s(self) -> float:
        return min(self._limits.resolve_s, self._whole_left_s())

    def left_s(self) -> float:
        """How long the next wait may be. EgressRefused: there is no time left. EgressCancelled."""
        self.look()
        left_s = min(self._whole_left_s(), self._step_ends_s - self._clock())
        if left_s <= 0:
            raise (
                unreachable()
                if self._step == "connect"
                else self._slow(f"an answer within {self._limits.answer_s:g} s")
            )
        return min(left_s, self._window_left_s()) if self._step == "body" else left_s

    def waited(self, seconds: float) -> None:
        """For bytes of the other side. Our own time, to store them, is no fault of theirs."""
        self._window_waited_s += seconds

    def took_wire(self, number: int) -> None:
        """Bytes of the connection. EgressRefused: headers that never end."""
        if self._step == "answer":
            self._head_bytes += number
            if self._head_bytes > self._limits.head_bytes:
                raise EgressRefused(
                    EgressTrouble.ANSWER,
                    f"expected headers of at most {self._limits.head_bytes} bytes, found more",
                )

    def took_body(self, number: int) -> None:
        self._window_bytes += number

    def _whole_left_s(self) -> float:
        """Until the fetch must have ended. EgressRefused: it must have."""
        left_s = self._ends_s - self._clock()
        if left_s <= 0:
            raise self._slow(f"the whole within {self._whole_s:g} s")
        return left_s

    def _window_left_s(self) -> float:
        left_s = self._limits.window_s - self._window_waited_s
        if left_s > 0:
            return left_s
        if self._window_bytes < self._limits.window_bytes:
            raise self._slow(f"at least {self._limits.window_bytes} bytes in {self._limits.window_s:g} s")
        self._window_waited_s, self._window_bytes = 0.0, 0
        return self._limits.window_s

    def _begin(self, step: str, limit_s: float) -> None:
        self._step = step
        self._step_ends_s = self._clock() + limit_s

    @staticmethod
    def _slow(expected: str) -> EgressRefused:
        return EgressRefused(
            EgressTrouble.SLOW, f"expected {expected}, found that the server took longer; try again later"
        )
