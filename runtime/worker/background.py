"""Calls that wait for a disk or a server, made by a few threads beside the agent's main thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import structlog

log = structlog.get_logger(__name__)


class BackgroundThreads:
    """At most `size` threads, each started when first needed. Python waits for them when it ends, so a node's program
    ends by `os._exit` (runtime.entry)."""

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._pool = ThreadPoolExecutor(size, thread_name_prefix=name)

    def submit(self, call: Callable[[], None]) -> None:
        """Have a thread make this call. What the call raises is a defect: the log says its class, nothing else, and the
        thread goes on to the next call, because it serves other attempts too."""
        self._pool.submit(call).add_done_callback(self._log_defect)

    def _log_defect(self, future: Future[None]) -> None:
        error = future.exception()
        if error is not None:
            log.error("background work failed", threads=self._name, error=type(error).__name__)
