"""Waiting until the views show what a scheduler was told."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from cli.errors import CommandFailed

HEARD_WITHIN_S = 15.0
POLL_S = 0.1

Shown = TypeVar("Shown")


def followed(
    what: str, noun: str, look: Callable[[], Shown], holds: Callable[[Shown], bool], *, forever: bool = False
) -> Shown:
    """What `look()` shows, once that holds. `what` was told something; `headrace <noun> list` shows it. CommandFailed
    when it does not hold in time, unless the wait may last `forever`."""
    end = time.monotonic() + HEARD_WITHIN_S
    while not holds(shown := look()):
        if not forever and time.monotonic() > end:
            raise CommandFailed(
                f"the scheduler is told, but {what} did not follow within {HEARD_WITHIN_S:.0f} s; it will when its"
                f" scheduler runs: see `headrace status` and `headrace {noun} list`; a record that it refused is in"
                " `headrace quarantine list`"
            )
        time.sleep(POLL_S)
    return shown
