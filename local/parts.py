"""A part of the stack under supervision: watched, and started again when it crashes."""

from __future__ import annotations

import time
from pathlib import Path

import structlog

from local import disk, ports
from local.errors import CannotStart
from local.jars import cache
from local.last_words import last_words
from local.options import Layout
from local.server import StackServer
from local.status import PartStatus
from runtime.worker.node import NOT_CONFINED, REFUSED

log = structlog.get_logger(__name__)

BACKOFF_S = 0.5
BACKOFF_S_MAX = 30.0
STEADY_S = 60.0
"""After a part ran this long, its next crash begins with the shortest backoff again."""

JAR_PARTS = {"kafka": "kafka", "s3": "s3proxy"}


class StackPart:
    def __init__(self, server: StackServer, layout: Layout) -> None:
        self.server = server
        self.status = PartStatus(name=server.name, port=server.port, log=str(layout.logs / f"{server.name}.log"))
        self._layout = layout
        self._backoff_s = BACKOFF_S
        self._started_at = 0.0
        self._log_from = 0
        """Where the output of the present process begins in the log."""
        self._retry_at = 0.0

    def start(self) -> None:
        """Start the part for the first time. CannotStart when it cannot run."""
        jar = JAR_PARTS.get(self.server.name)
        self.status.state = "fetching" if jar and not cache.is_cached(jar) else "starting"
        self._start()

    def await_ready(self) -> None:
        """CannotStart when the part does not become ready."""
        self.server.await_ready()
        self.status.state = "ready"

    def tick(self) -> None:
        """Look at the part once: note that it is ready or crashed, or start it again when its backoff is over."""
        if self.status.state in ("restarting", "no space"):
            self._restart_if_due()
        elif not self.server.alive():
            self._crashed()
        elif self.status.state == "starting" and self.server.ready():
            self.status.state = "ready"
        if self.status.state == "ready" and time.monotonic() - self._started_at > STEADY_S:
            self.status.steady = True

    def become(self, server: StackServer) -> None:
        """Stop the part, and start it as this server. If it cannot run, it is tried again, as
        after a crash. Nobody may tick it meanwhile."""
        self.status.state = "stopping"
        self.server.stop()
        self.server = server
        self._start_or_rest()

    def stop(self) -> None:
        self.status.state = "stopping"
        self.server.stop()
        self.status.state, self.status.pid = "stopped", 0

    def require_port(self) -> None:
        """CannotStart when the part crashed and another process has its port: the part could never run."""
        if self.status.state == "restarting" and self.server.port:
            ports.require_free(self.server.name, self.server.port)

    def log_tail(self) -> str:
        return self.server.process.log_tail() if self.server.process is not None else "(empty)"

    def _start(self) -> None:
        log = Path(self.status.log)
        self._log_from = log.stat().st_size if log.exists() else 0
        self.server.start()
        self._started_at = time.monotonic()
        self.status.state = "starting"
        self.status.key_id = getattr(self.server, "key_id", "")
        self.status.pid = self.server.process.pid if self.server.process is not None else 0

    def _crashed(self) -> None:
        process = self.server.process
        ended = f"exit status {process.exit_status}" if process is not None else "it never started"
        if time.monotonic() - self._started_at > STEADY_S:
            self._backoff_s = BACKOFF_S
        self.status.restarts += 1
        self.status.pid = 0
        self.status.state = "restarting"
        self.status.steady = False
        self.status.note = f"crashed ({ended}){self._why()}; look at {self.status.log}"
        if process is not None and process.exit_status in (REFUSED, NOT_CONFINED):
            self._backoff_s = BACKOFF_S_MAX  # a person has to do something first, or the policy to change
        self._retry_at = time.monotonic() + self._backoff_s
        log.warning("part crashed", part=self.server.name, ended=ended, again_in_s=self._backoff_s)
        self._backoff_s = min(BACKOFF_S_MAX, self._backoff_s * 2)

    def _why(self) -> str:
        """Why the part ended: another process has its port, or the last error in its log. Empty when neither is so."""
        port = self.server.port
        if port and not ports.is_free(port):
            return f": port {port} is in use by another process"
        said = last_words(Path(self.status.log), self._log_from)
        return f": {said}" if said else ""

    def _restart_if_due(self) -> None:
        if time.monotonic() < self._retry_at:
            return
        if disk.warning(self._layout.data):
            self.status.state = "no space"
            return
        self._start_or_rest()

    def _start_or_rest(self) -> None:
        try:
            self._start()
        except (CannotStart, OSError) as error:
            self.status.state = "restarting"
            self.status.note = str(error)
            self._retry_at = time.monotonic() + self._backoff_s
