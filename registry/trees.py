"""Directories of the depot as a whole: what tells that nobody has touched one, and who may read it.

Processes that run models may be other users than the node. So what the depot builds may be read by all and written by
its owner; the data directory above it, which is shut, keeps everybody else of the machine out.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

READ, PASS = 0o444, 0o111
"""Bits of a mode for everybody."""


def marks_of(place: Path, marker: str) -> dict[str, tuple[int, int, int]]:
    """Size, inode and time of change of each file below the place, except its marker. Links are not followed."""
    found = {}
    for name, status in _entries(str(place)):
        if not stat.S_ISDIR(status.st_mode) and name != marker:
            found[name] = (status.st_size, status.st_ino, status.st_mtime_ns)
    return found


def tree_digest(place: Path, marker: str) -> str:
    """The marks as one value, in hex: for a directory of tens of thousands of files."""
    return hashlib.sha256(msgspec.json.encode(sorted(marks_of(place, marker).items()))).hexdigest()


def let_others_read(place: Path) -> None:
    """Have everybody read what lies there, who can reach it. Changes nothing else, and nothing twice. OSError."""
    _allow(str(place), place.stat().st_mode, READ | PASS)
    for name, status in _entries(str(place)):
        mode = status.st_mode
        if stat.S_ISDIR(mode):
            _allow(f"{place}/{name}", mode, READ | PASS)
        elif stat.S_ISREG(mode):
            _allow(f"{place}/{name}", mode, READ | (PASS if mode & stat.S_IXUSR else 0))


def _entries(place: str, prefix: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """All that lies below, by its path from there. Strings, because an environment may have 20,000 files."""
    with os.scandir(f"{place}/{prefix}") as entries:
        for entry in entries:
            name = prefix + entry.name
            status = entry.stat(follow_symlinks=False)
            yield name, status
            if stat.S_ISDIR(status.st_mode):
                yield from _entries(place, f"{name}/")


def _allow(path: str, mode: int, bits: int) -> None:
    if mode & bits != bits:
        os.chmod(path, stat.S_IMODE(mode) | bits)  # noqa: PTH101
