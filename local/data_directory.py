"""Whether a data directory's path can be used, asked before anything is started or written."""

from __future__ import annotations

import os
from pathlib import Path

from local.errors import CannotStart

PATH_BYTES_MAX = 900
"""Postgres keeps paths of at most 1,023 bytes, and longer ones are cut without a word; 100 of them name its files."""


def require_path(data: Path) -> None:
    """CannotStart when no server could find its files below this path."""
    path = os.fsencode(data.absolute())
    if len(path) > PATH_BYTES_MAX:
        raise CannotStart(
            f"the path of the data directory to have at most {PATH_BYTES_MAX} bytes",
            f"one of {len(path)} bytes",
            "Name a directory with a shorter path with --data",
        )
    try:
        text = path.decode()
    except UnicodeDecodeError as error:
        raise CannotStart(
            "the path of the data directory in UTF-8",
            f"other bytes at its byte {error.start}",
            "Rename that directory, or name another one with --data",
        ) from None
    if not text.isprintable():
        raise CannotStart(
            "the path of the data directory without line breaks and other control characters",
            repr(text)[:200],
            "Rename that directory, or name another one with --data",
        )
