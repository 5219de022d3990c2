"""What the three servers and the processes of ours have in common: each can be started, watched and stopped."""

from __future__ import annotations

from typing import Protocol

from local.processes import Process


class StackServer(Protocol):
    name: str
    port: int
    """0 when the server listens at no port."""
    process: Process | None
    """None before the first start."""

    def start(self) -> None:
        """Start the server on the data that it had. Returns before it is ready. CannotStart when it cannot run."""

    def ready(self) -> bool: ...

    def await_ready(self) -> None:
        """CannotStart when the server ends, or takes too long."""

    def alive(self) -> bool: ...

    def kill(self) -> None:
        """kill -9, and wait until the process is gone."""

    def stop(self) -> None:
        """Ask the process to end, wait, and kill the process if it does not end. Nothing happens when none runs."""
