"""A plugin of coverage, which keeps a defect of Python 3.11 away from the measured tests.

Coverage asks greenlet on each thread which greenlet runs. greenlet then clears up after each thread that ends, in a
callback of the interpreter on the main thread; and when a second thread ends in that moment, Python 3.11 repeats the
first instruction of the traced callback for ever (seen: a worker of `make test` that never ended). So greenlet is
asked on the main thread only, where tests of the twin have greenlets.
"""

from __future__ import annotations

import threading
from typing import Any

import greenlet  # type: ignore[import-untyped]


class _Marker:
    """Stands for a thread without greenlets."""


def coverage_init(registry: Any, options: Any) -> None:
    """Coverage calls this before it looks for greenlet's function."""
    current, main, here, ident = greenlet.getcurrent, threading.get_ident(), threading.local(), threading.get_ident

    def current_of_thread() -> Any:
        if ident() == main:
            return current()
        try:
            return here.marker
        except AttributeError:
            marker = here.marker = _Marker()
            return marker

    greenlet.getcurrent = current_of_thread
