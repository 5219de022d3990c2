"""The last error in a process's log, as a sentence that names the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

READ_BYTES_MAX = 64 * 1024
"""How much of the end of a log is read. A line with a traceback fits."""
SHOWN_CHARACTERS_MAX = 400
_ERRORS = ("error", "critical")


def last_words(log: Path, start: int = 0) -> str:
    """The last error in the log after byte `start`, as `topic/partition/offset: what: why`. Empty when there is none.

    Logs hold no user's words, so this sentence holds none."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            if size < start:  # the old log was set aside meanwhile, and this file is a new one
                start = 0
            file.seek(max(start, size - READ_BYTES_MAX))
            lines = file.read().splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        said = _line(line)
        if said.get("level") in _ERRORS:
            return _sentence(said)
    return ""


def _line(line: bytes) -> dict[str, Any]:
    """The fields of a line of structlog's JSON. Empty for any other line."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _sentence(said: dict[str, Any]) -> str:
    parts = [_place(said), said.get("event"), said.get("found")]
    text = ": ".join(str(part) for part in parts if part)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else text[: SHOWN_CHARACTERS_MAX - 1] + "…"


def _place(said: dict[str, Any]) -> str:
    """`topic/partition/offset`, as far as the line names them."""
    names = [said.get(name) for name in ("topic", "partition", "offset")]
    return "/".join(str(name) for name in names if name is not None and name != "")
