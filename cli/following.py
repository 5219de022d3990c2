"""Telling the scheduler of a pool something, and waiting until the views show it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from cli import output
from cli.errors import CommandFailed
from cli.output import Format

HEARD_WITHIN_S = 15.0
POLL_S = 0.1

Shown = TypeVar("Shown")


def partitions_in_force(policies: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Where the scheduler of each pool is told something: its partition of `jobs`, by the policies that the API shows
    to be in force."""
    return {entry["pool"]: entry["policy"]["pools"][entry["pool"]]["partition"] for entry in policies}


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


def report(form: Format, shown: Any, sentence: str) -> None:
    """What a command says at its end: the document that the views show, or the sentence for people."""
    if form is Format.JSON:
        return output.as_json(shown)
    output.out.print(sentence, soft_wrap=True)
