"""What everything that the stack runs has in common, be it a server or a process of ours."""

from __future__ import annotations

from typing import Protocol

from local.processes import Process


class StackServer(Protocol):
    name: str
    port: int
    """0 when it listens on none."""
    process: Process | None
    """None before the first start."""

    def start(self) -> None:
        """Start it, on the data it had. Returns before it is ready. CannotStart."""

    def ready(self) -> bool: ...

    def await_ready(self) -> None:
        """CannotStart when it ends, or takes too long."""

    def alive(self) -> bool: ...

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""

    def stop(self) -> None:
        """Ask it to end, wait, and kill it if it does not. Nothing happens when it does not run."""
