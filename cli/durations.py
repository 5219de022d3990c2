"""Durations as people type them."""

from __future__ import annotations

import re

from cli.errors import WrongUse
from contract import durations

_FRACTION = re.compile(r"([0-9]{1,9}\.[0-9]{1,9})(ms|s|m|h|d)")
_MOST_MS = 3_650 * durations.DAY_MS


def duration_ms(option: str, text: str, least_ms: int = 0) -> int:
    """What `30s`, `22.7s` or `1h30m` means, for this option. WrongUse."""
    fraction = _FRACTION.fullmatch(text)
    ms = round(float(fraction[1]) * durations.UNITS_MS[fraction[2]]) if fraction else durations.duration_ms(text)
    if ms is None or not least_ms <= ms <= _MOST_MS:
        raise WrongUse(f"{option}: expected a duration like 30s, 10m or 1h30m, found {text[:80]!r}")
    return ms
