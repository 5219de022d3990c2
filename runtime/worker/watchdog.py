"""Ends the process when the agent's loop stands still: the node starts again, and other nodes take its attempts.

Theory of operation. The loop counts its turns and turns at least once a heartbeat. A thread looks at the count once a
second. When the thread has seen the same count for as many seconds of looks as the limit allows, it writes where every
thread stands and ends the process. The thread counts its own looks and not the time: while the machine or the process
was suspended, neither thread nor loop ran, and the first look after that counts as one look.

A hang that holds the interpreter's lock stops that thread too. For this case the kernel has an alarm clock, which
counts the processor time of this process and which the thread sets back at each look. When the alarm rings (SIGPROF),
C code that needs no lock writes where every thread stands, and the process ends.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

HEARTBEATS = 3
LEAST_S = 10.0
"""The limit is never shorter than this, however short a heartbeat is."""

LOOK_S = 1.0
LOOKS_LEAST = 10

LOCKED_S = 60.0
"""Processor time of all threads together between two looks. The threads of a node take less in a second, even if each
thread has a processor of its own."""

EXIT_STATUS = 3

LAST_WORDS_S = 5.0
"""How long writing may take: the loop may hang because nobody reads what it writes."""


def limit_s(heartbeat_s: float) -> float:
    """How long the loop may stand still, in seconds."""
    return max(HEARTBEATS * heartbeat_s, LEAST_S)


class Watchdog:
    def __init__(self, turns: Callable[[], int], limit_s: float, *, locked_s: float = LOCKED_S) -> None:
        """`turns`: how often the loop has turned. `limit_s`: how long the loop may stand still."""
        self._turns = turns
        self._limit_s = limit_s
        self._locked_s = locked_s

    def start(self) -> None:
        """Watch, until the process ends. In the main thread."""
        faulthandler.register(signal.SIGPROF, sys.stderr, all_threads=True, chain=True)
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def _watch(self) -> None:
        look_s = min(LOOK_S, self._limit_s / LOOKS_LEAST)
        pause = threading.Event()
        seen, same_s = -1, 0.0
        while same_s < self._limit_s:
            signal.setitimer(signal.ITIMER_PROF, self._locked_s)
            pause.wait(look_s)
            turns = self._turns()
            seen, same_s = turns, same_s + look_s if turns == seen else 0.0
        self._end()

    def _end(self) -> None:
        last = threading.Timer(LAST_WORDS_S, os._exit, (EXIT_STATUS,))
        last.daemon = True
        last.start()
        faulthandler.dump_traceback(sys.stderr, all_threads=True)
        log.critical(
            "the agent's loop stands still: ending this node, whose attempts another one takes; its supervisor should"
            " start it again. The stack of every thread is above: please report it",
            limit_s=self._limit_s,
        )
        sys.stderr.flush()
        os._exit(EXIT_STATUS)
