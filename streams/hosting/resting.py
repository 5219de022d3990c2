"""How long something that ended by itself rests before it begins anew."""

from __future__ import annotations


class GrowingRest:
    """Rests get twice as long each time, from `least_s` to `most_s`, while what begins anew ends soon."""

    def __init__(self, least_s: float, most_s: float) -> None:
        self._least_s, self._most_s = least_s, most_s
        self._next_s = least_s

    def take_s(self, lasted_s: float) -> float:
        """Seconds to rest after something ended that lasted `lasted_s`; the next rest is twice as long. What lasted
        `most_s` is trusted again and rests `least_s`."""
        rest_s = self._least_s if lasted_s >= self._most_s else self._next_s
        self._next_s = min(2 * rest_s, self._most_s)
        return rest_s
