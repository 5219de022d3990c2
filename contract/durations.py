"""Durations: the units in which a person writes them, and a day in ms."""

from __future__ import annotations

DAY_MS = 86_400_000

UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": DAY_MS}
