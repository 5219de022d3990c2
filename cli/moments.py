"""Moments as people type them, and the present moment."""

from __future__ import annotations

import time

from cli.errors import WrongUse


def now_ms() -> int:
    """The present moment by the clock of this machine."""
    return round(time.time() * 1000)


def moment_ms(option: str, text: str) -> int:
    """What `2h ago`, a time or `now` means, for this option. WrongUse."""
    from audit.as_of import MomentInvalid, moment

    try:
        return moment(text, now_ms())
    except MomentInvalid as error:
        raise WrongUse(f"{option}: {error}") from None
