"""Steps of a preparation that ask a server or a disk of ours: repeated while that is away, for a bounded time.

A GPU node keeps its result however long the store is away, because hours of a GPU are in it. A preparation is seconds
of a CPU, and can be made again: after PATIENCE_S it is given back as an outage, and its job rests and is prepared
again, perhaps by a worker that reaches the store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cpu_worker.io.preparation_time import PreparationTime
from cpu_worker.rules.verdicts import PreparationOutage
from runtime.worker.outages import CauseOf, GivenUp, OutageWaits, outage

PATIENCE_S = 30.0

Done = TypeVar("Done")


class PatientSteps:
    """Of one preparation."""

    def __init__(self, preparation: str, waits: OutageWaits, time: PreparationTime) -> None:
        self._preparation = preparation
        self._waits = waits
        self.time = time

    def done(self, what: str, step: Callable[[], Done], cause_of: CauseOf = outage) -> Done:
        """What the step returns. PreparationOutage, PreparationAbandoned, PreparationTimeOver, and what the step raises
        when waiting mends nothing."""
        ends_s = self._waits.now_s() + PATIENCE_S

        def cause(error: Exception) -> str:
            found = cause_of(error)
            self.time.met_outage = self.time.met_outage or bool(found)
            return found

        def is_over() -> bool:
            return self.time.is_over or self._waits.now_s() >= ends_s

        self.time.look()
        try:
            return self._waits.until_done(f"{what} {self._preparation}", step, is_over, cause)
        except GivenUp:
            self.time.look()
            raise PreparationOutage from None
