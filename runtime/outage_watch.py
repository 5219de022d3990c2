"""What a process does while a server of ours is away: it rests longer and longer, and says so once.

A line for each try would fill the log of an outage with nothing new. So one line says that the server is away, another
when the reason changes, and one that the server is back and how long it was away.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import structlog

REST_S, REST_MAX_S = 0.2, 4.0
"""The longest rest is short enough for all to be current within 10 s of the end of an outage."""

log = structlog.get_logger(__name__)


class OutageWatch:
    """Watches one server, for one caller that goes on asking. Threads may share a watch."""

    def __init__(self, waiting: str, again: str, *, rest_s: float = REST_S, rest_max_s: float = REST_MAX_S) -> None:
        """`waiting` is logged when an outage begins and when its reason changes, `again` when it is over."""
        self._waiting, self._again = waiting, again
        self._rest_s, self._rest_max_s = rest_s, rest_max_s
        self._lock = threading.Lock()
        self._next_s = rest_s
        self._found = ""
        self._since_s = 0.0

    @property
    def is_away(self) -> bool:
        """The last try has failed."""
        return bool(self._found)

    def failed(self, found: str, **facts: Any) -> float:
        """A try has failed, because of `found`. Seconds to rest before the next one."""
        with self._lock:
            before, self._found = self._found, found
            if not before:
                self._since_s = time.monotonic()
            rest_s, self._next_s = self._next_s, min(2 * self._next_s, self._rest_max_s)
        if found != before:
            log.warning(self._waiting, found=found, **facts)
        return rest_s

    def worked(self, **facts: Any) -> None:
        """A try has succeeded."""
        if not self._found:
            return
        with self._lock:
            was_away, self._found, self._next_s = bool(self._found), "", self._rest_s
        if was_away:
            log.info(self._again, after_s=round(time.monotonic() - self._since_s, 1), **facts)
