"""A few threads for work that waits: payloads, versions, uploads. Daemons, so that none can hold up the node's end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

import structlog

log = structlog.get_logger(__name__)


class Crew:
    """At most `size` threads, each started when first needed."""

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self._size = size
        self._started = 0
        self._idle = 0
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def submit(self, job: Callable[[], None]) -> None:
        """Have a thread make this call. What it raises is a defect: it is logged by class and the thread goes on."""
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
            elif self._started < self._size:
                self._started += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._started}", daemon=True).start()
            self._jobs.put(job)

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except Exception as error:  # the thread serves other attempts too: it outlives any job
                log.error("background work failed", crew=self._name, error=type(error).__name__)
            with self._lock:
                if self._jobs.empty():
                    self._idle += 1
