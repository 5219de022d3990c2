"""Moments and durations of a ledger as people read them. A ledger takes any number as a time, and so does this."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from contract.bounds import TIME_MS_MAX

LEAST_MS = -62_135_596_800_000
"""The first moment of the year 1. The calendar of Python does not go further back."""
_DAY_MS = 86_400_000
"""A time zone is less than a day off, so a moment this far inside the calendar is inside in every zone."""
_COUNTED_MAX = 10**18
"""Larger numbers are not written out: their digits tell nobody anything, and Python writes 4,300 digits at most."""


def when(at_ms: int) -> str:
    """`2026-11-24 12:00:03.120 UTC`; the number of a moment that no calendar has."""
    if LEAST_MS <= at_ms <= TIME_MS_MAX:
        return f"{_written(at_ms, UTC)} UTC"
    return _as_number(at_ms)


def when_here(at_ms: int) -> str:
    """`2026-11-24 13:00:03.120`, in the zone of this machine; the number of a moment that no calendar has."""
    if LEAST_MS + _DAY_MS <= at_ms <= TIME_MS_MAX - _DAY_MS:
        return _written(at_ms, None)
    return _as_number(at_ms)


def duration(ms: int) -> str:
    """`850 ms`, `3.2 s`, `4 min 10 s` or `2 h 5 min`."""
    if ms < 1000:
        return f"{_number(ms)} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    seconds = ms // 1000
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{_number(seconds // 3600)} h {seconds % 3600 // 60} min"


def multiple(part: int, whole: int) -> str:
    """`0.75`: a wait as a multiple of its SLO. Of nothing: `0.00`."""
    hundredths = (200 * part + whole) // (2 * whole) if whole > 0 else 0
    return f"{_number(hundredths // 100)}.{hundredths % 100:02d}"


def _written(at_ms: int, zone: tzinfo | None) -> str:
    moment = datetime.fromtimestamp(at_ms // 1000, UTC).astimezone(zone)
    return f"{moment.replace(tzinfo=None).isoformat(' ', 'seconds')}.{at_ms % 1000:03d}"


def _as_number(at_ms: int) -> str:
    return f"{_number(at_ms)} ms since 1970, which no calendar has"


def _number(value: int) -> str:
    if abs(value) <= _COUNTED_MAX:
        return str(value)
    return f"{'more' if value > 0 else 'less'} than {'' if value > 0 else '-'}10^18"
