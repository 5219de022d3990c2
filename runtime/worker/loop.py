"""The agent's main loop: it waits for file descriptors and for calls that other threads post, and never polls."""

from __future__ import annotations

import os
import selectors
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

Callback = Callable[[int], None]
"""Called with the selector's event mask."""


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


class Loop:
    """Not thread-safe, except `post` and `turns`. A callback does a bounded amount of work and returns: if the
    descriptor stays ready, the next turn calls back again."""

    def __init__(self) -> None:
        self.turns = 0
        """How often the loop has turned: a watchdog watches this number."""
        self._selector = selectors.DefaultSelector()
        self._posted: deque[Callable[[], None]] = deque()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector.register(self._wake_fd, selectors.EVENT_READ, self._on_wake)

    def post(self, call: Callable[[], None]) -> None:
        """Have the loop's thread make this call soon. Any thread, or a signal handler."""
        self._posted.append(call)
        os.eventfd_write(self._wake_fd, 1)

    def watch(self, fd: int | _HasFileno, callback: Callback, *, writing: bool = False) -> None:
        """Call back whenever the descriptor is readable, with `writing` also when it is writable."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
        key: Any = fd
        try:
            self._selector.modify(key, events, callback)
        except KeyError:
            self._selector.register(key, events, callback)

    def unwatch(self, fd: int | _HasFileno) -> None:
        """Call back no more for this descriptor. Nothing happens when the loop does not watch the descriptor."""
        key: Any = fd
        try:
            self._selector.unregister(key)
        except (KeyError, ValueError):
            return

    def turn(self, timeout_s: float | None) -> None:
        """Wait at most `timeout_s` for descriptors and posted calls, then make the calls."""
        self.turns += 1
        watched = self._selector.get_map()
        for key, mask in self._selector.select(timeout_s):
            now = watched.get(key.fd)
            if (
                now is not None and now.data == key.data
            ):  # else an earlier callback of this turn unwatched the descriptor
                key.data(mask)

    def close(self) -> None:
        self._selector.close()
        os.close(self._wake_fd)

    def _on_wake(self, _mask: int) -> None:
        os.eventfd_read(self._wake_fd)
        for _ in range(len(self._posted)):
            self._posted.popleft()()
