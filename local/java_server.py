"""What Kafka and the S3 server have in common: each is a Java process that is prepared before its first start."""

from __future__ import annotations

from local import ports
from local.errors import CannotStart
from local.processes import Process


class JavaServer:
    """A subclass makes the process (`_prepare`). A server that was stopped or killed can be started again."""

    name: str
    port: int
    ready_timeout_s: float
    stop_timeout_s: float

    def __init__(self) -> None:
        self.process: Process | None = None

    def start(self) -> None:
        """Start the server on the data that it had. Returns before the server is ready (see `await_ready`)."""
        if self.process is None:
            self.process = self._prepare()
        self.process.start()

    def ready(self) -> bool:
        """Whether this server, and not another process, listens at the port."""
        return self.process is not None and ports.is_listened_to_by(self.process.pid, self.port)

    def await_ready(self) -> None:
        """CannotStart when the server ends, or is not ready in time."""
        process = self._running()
        try:
            process.await_ready(self.ready, self.ready_timeout_s)
        except CannotStart:
            if not process.alive():
                ports.require_free(self.name, self.port)
            raise

    def alive(self) -> bool:
        return self.process is not None and self.process.alive()

    def kill(self) -> None:
        """kill -9."""
        self._running().kill()

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop(self.stop_timeout_s)

    def _prepare(self) -> Process:
        raise NotImplementedError

    def _running(self) -> Process:
        if self.process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self.process
