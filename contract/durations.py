"""Durations as a person writes them: `500ms`, `30s`, `1h30m`."""

from __future__ import annotations

import re

DAY_MS = 86_400_000

UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": DAY_MS}

_DURATION = re.compile("".join(rf"(?:([0-9]{{1,30}}){unit})?" for unit in ("d", "h", "m(?!s)", "s", "ms")))
_PARTS_MS = (DAY_MS, 3_600_000, 60_000, 1000, 1)


def duration_ms(text: str) -> int | None:
    """How many ms a duration of one or more whole numbers with units means, the largest unit first. None when the text
    is no duration: `1h30m` is one; `30m1h`, `1h1h`, `1.5h` and the empty text are none."""
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        return None
    return sum(int(number) * unit_ms for number, unit_ms in zip(match.groups("0"), _PARTS_MS, strict=True))
