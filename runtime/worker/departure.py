"""How a node leaves that was told to stop: at what times it ends what still runs, and stops waiting for the broker."""

from __future__ import annotations

LAST_WORDS_S = 10.0
"""How long a node that leaves waits for the broker to take its last reports."""


class Departure:
    """Times are those of the monotonic clock, in seconds."""

    def __init__(self, grace_s: float) -> None:
        """`grace_s`: how long running attempts may go on after the first request to stop."""
        self._grace_s = grace_s
        self.has_begun = False
        self.expel_at_s: float | None = None
        """When the attempts that still run are to be stopped; None once they were."""
        self.give_up_at_s: float | None = None
        """When the node leaves even if the broker has not taken all reports."""

    def begin(self, now_s: float) -> None:
        """The first request to stop: from now on the node drains."""
        self.has_begun = True
        self.expel_at_s = now_s + self._grace_s

    def hurry(self, now_s: float) -> None:
        """Another request to stop: the grace is over."""
        self.expel_at_s = now_s
        self.give_up_at_s = now_s + LAST_WORDS_S

    def take_expulsion(self, now_s: float) -> bool:
        """True once, when the grace is over."""
        if self.expel_at_s is None or self.expel_at_s > now_s:
            return False
        self.expel_at_s = None
        return True

    def note_idle(self, now_s: float) -> None:
        """The node holds no attempt any more: from now on it waits LAST_WORDS_S for the broker."""
        if self.give_up_at_s is None:
            self.give_up_at_s = now_s + LAST_WORDS_S

    def is_given_up(self, now_s: float) -> bool:
        return self.give_up_at_s is not None and self.give_up_at_s <= now_s
