"""How a node's threads wait for a server or a disk of ours that is away: for as long as that takes.

An outage of ours is no failure of a job (design section 2, rule 7). What cannot be fetched or stored rests, and is
tried again with growing rests that stay so short that all goes on within seconds of the end of the outage. While it
rests it is none of the few that may ask the store at once, so what the store refuses for one object holds up nobody
else. What is missing or damaged for certain is no outage: that is for whoever asked.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from runtime.object_store import StoreFault, is_away
from runtime.telemetry import without_words

FIRST_REST_S, REST_MAX_S = 0.2, 3.0
"""A rest is twice as long as the one before. Design: all is current within 10 s of the end of an outage; a connection
that is not answered takes 5 s of that (runtime.object_store)."""
SAID_AFTER_S = 2.0
"""What has waited for less is told to nobody: a node that says that it waits is given nothing new meanwhile."""
AT_WORK = 4
"""How many may ask the store at once. Each may hold tens of MiB meanwhile."""

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})

SILENT = "nothing"
"""The cause of a rest that nobody need hear of."""

CauseOf = Callable[[Exception], str]
"""What a failed try waits for: one of contract.inputs.HOLDING, or SILENT. Empty: waiting mends nothing."""

OnWait = Callable[[str, str], None]
"""Called, in any thread, with what waits and for what; with an empty cause when it waits no more."""

Done = TypeVar("Done")

log = structlog.get_logger(__name__)


class GivenUp(Exception):
    """Nobody wants any more what was waited for."""


class OutageWaits:
    """Any thread may use it."""

    def __init__(
        self,
        told: OnWait,
        *,
        pause: Callable[[float], object] = lambda seconds: time.sleep(seconds),
        now_s: Callable[[], float] = lambda: time.monotonic(),
        at_work: int = AT_WORK,
    ) -> None:
        """`pause(seconds)` lets so much time pass by the clock `now_s`."""
        self.now_s = now_s
        self._told = told
        self._at_work = threading.Semaphore(at_work)
        self._pause = pause

    def apart(self, at_work: int = AT_WORK) -> OutageWaits:
        """The same, for work that asks another server: the one does not hold up the other. `at_work`: how many may ask
        at once."""
        return OutageWaits(self._told, pause=self._pause, now_s=self.now_s, at_work=at_work)

    def until_done(
        self, what: str, step: Callable[[], Done], is_over: Callable[[], bool], cause_of: CauseOf | None = None
    ) -> Done:
        """What `step` returns, tried again while it fails for an outage of ours. GivenUp as soon as `is_over()`; what
        `step` raises when waiting mends nothing. `what` names it to whoever is told."""
        rest_s, said, began_s = FIRST_REST_S, "", self.now_s()
        try:
            while True:
                if is_over():
                    raise GivenUp
                try:
                    with self._at_work:
                        return step()
                except Exception as error:  # what is no outage of ours is raised again below
                    cause = (cause_of or outage)(error)
                    found = str(error) if isinstance(error, StoreFault) else without_words(error)
                    if not cause:
                        raise
                if cause not in (said, SILENT) and self.now_s() - began_s >= SAID_AFTER_S:
                    log.warning("an outage of ours is waited for", what=what, waits_for=cause, found=found)
                    self._told(what, cause)
                    said = cause
                self._pause(rest_s)
                rest_s = min(2 * rest_s, REST_MAX_S)
        finally:
            if said:
                self._told(what, "")


def outage(error: Exception) -> str:
    """Which outage of ours the error means, one of contract.inputs.HOLDING; empty: none."""
    if is_away(error):
        return "store"
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return "disk"
    return ""
