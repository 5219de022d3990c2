"""How long something that has ended by itself rests until it is begun anew."""

from __future__ import annotations


class GrowingRest:
    """Twice as long each time, from `least_s` to `most_s`, while what is begun anew goes on ending soon."""

    def __init__(self, least_s: float, most_s: float) -> None:
        self._least_s, self._most_s = least_s, most_s
        self._next_s = least_s

    def take_s(self, lasted_s: float) -> float:
        """Seconds to rest once it has ended after `lasted_s`. What lasted `most_s` is trusted again: `least_s`."""
        rest_s = self._least_s if lasted_s >= self._most_s else self._next_s
        self._next_s = min(2 * rest_s, self._most_s)
        return rest_s
