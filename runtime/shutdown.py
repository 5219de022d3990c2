"""SIGTERM and SIGINT set one event that a process waits for."""

from __future__ import annotations

import asyncio
import signal
import threading
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def on_signal() -> threading.Event:
    """An event set by the first SIGTERM or SIGINT; a second one ends the process. Call in the main thread."""
    event = threading.Event()

    def handle(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        event.set()

    for number in SIGNALS:
        signal.signal(number, handle)
    return event


def on_signal_async() -> asyncio.Event:
    """Like `on_signal`, for a running event loop."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()

    def handle(number: signal.Signals) -> None:
        loop.remove_signal_handler(number)
        event.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, handle, number)
    return event
