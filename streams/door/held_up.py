"""Telling people what holds a partition of `submissions` up: in the log, in the metrics and in the stored place."""

from __future__ import annotations

import time
from contextlib import suppress

import structlog

from contract.topics import SUBMISSIONS
from streams.door.intake_positions import IntakePosition
from streams.metrics import INTAKE_OFFSET, INTAKE_WAITING

SAID_AFTER_S = 5.0
"""A wait is logged when it has lasted so long, and then every SAID_EVERY_S."""
SAID_EVERY_S = 60.0

log = structlog.get_logger(__name__)


class HeldUp:
    """What one partition waits for. At first nothing holds it up."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._waits_for = ""
        self._since_s, self._since_ms, self._say_at_s = 0.0, 0, 0.0

    def by(self, what: str, offset: int | None) -> None:
        """The record at `offset` waits for `what` now. None: the partition has no place yet."""
        now_s = time.monotonic()
        if not self._waits_for:
            self._since_s, self._since_ms = now_s, round(time.time() * 1000)
            self._say_at_s = now_s + SAID_AFTER_S
        self._waits_for = what
        if now_s >= self._say_at_s:
            self._say_at_s = now_s + SAID_EVERY_S
            log.warning(
                "a submission waits, and all behind it in its partition; `headrace quarantine skip` passes it over",
                topic=SUBMISSIONS,
                partition=self._partition,
                offset=offset,
                waits_for=what,
                waited_s=round(now_s - self._since_s),
            )

    def ended(self) -> None:
        """Nothing holds the partition up now."""
        self._waits_for = ""

    def place(self, offset: int) -> IntakePosition:
        """The place to store. It says what the record waits for once that has lasted SAID_AFTER_S."""
        if self._seconds <= SAID_AFTER_S:
            return IntakePosition(offset)
        return IntakePosition(offset, self._waits_for, self._since_ms)

    def show(self, offset: int) -> None:
        INTAKE_OFFSET.labels(str(self._partition)).set(offset)
        INTAKE_WAITING.labels(str(self._partition)).set(self._seconds)

    def forget(self) -> None:
        """The partition belongs to another process now: remove its metrics here."""
        for gauge in (INTAKE_OFFSET, INTAKE_WAITING):
            with suppress(KeyError):
                gauge.remove(str(self._partition))

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._since_s if self._waits_for else 0.0
