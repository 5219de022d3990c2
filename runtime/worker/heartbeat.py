"""When a node's next heartbeat is due."""

from __future__ import annotations

ANNOUNCE_EVERY_S = 0.25
"""Minimum gap between heartbeats that news bring forward. Without a gap, every change would cost a record."""


class HeartbeatTimer:
    """Times are those of the monotonic clock, in seconds. No heartbeat is due before `start`."""

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self.due_at_s: float | None = None
        self._sent_at_s = 0.0

    @property
    def is_running(self) -> bool:
        return self.due_at_s is not None

    def start(self, now_s: float) -> None:
        """The node joined: the first heartbeat is due at once."""
        self.due_at_s = now_s

    def stop(self) -> None:
        """The node leaves, or its session is over: no heartbeat is due."""
        self.due_at_s = None

    def bring_forward(self, now_s: float) -> None:
        """There is news: make the next heartbeat due now, or as soon as ANNOUNCE_EVERY_S allows."""
        if self.due_at_s is not None:
            self.due_at_s = min(self.due_at_s, max(now_s, self._sent_at_s + ANNOUNCE_EVERY_S))

    def take_due(self, now_s: float) -> bool:
        """True when a heartbeat is due; the next heartbeat is then due `every_s` later."""
        if self.due_at_s is None or self.due_at_s > now_s:
            return False
        self.due_at_s = now_s + self.every_s
        return True

    def note_sent(self, now_s: float) -> None:
        self._sent_at_s = now_s
