"""How long a simulation's decisions took."""

from __future__ import annotations

from array import array
from math import ceil

import msgspec


class Measured(msgspec.Struct):
    """For each batch, in order: seconds of `decide` by the simulation's timer, and jobs queued before the batch."""

    seconds: array[float]
    queued: array[int]

    def p99_ms(self, queued_min: int = 0) -> float:
        """The p99 of the batches before which at least `queued_min` jobs were queued; 0 when there was none."""
        times = sorted(took for took, queued in zip(self.seconds, self.queued, strict=True) if queued >= queued_min)
        return times[min(len(times) - 1, ceil(0.99 * len(times)) - 1)] * 1000 if times else 0.0
