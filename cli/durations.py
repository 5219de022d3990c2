"""Durations as people type them."""

from __future__ import annotations

import re

from cli.errors import WrongUse
from contract.durations import UNITS_MS

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)")


def duration_ms(option: str, text: str, least_ms: int = 0) -> int:
    """What `30s`, `22.7s` or `2h` means, for this option. WrongUse."""
    match = _DURATION.fullmatch(text)
    ms = round(float(match[1]) * UNITS_MS[match[2]]) if match else -1
    if ms < least_ms:
        raise WrongUse(f"{option}: expected a duration like 30s, 10m or 2h, found {text[:80]!r}")
    return ms
