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
    for path in _files(place):
        if path != place / marker:
            status = path.lstat()
            found[path.relative_to(place).as_posix()] = (status.st_size, status.st_ino, status.st_mtime_ns)
    return found


def tree_digest(place: Path, marker: str) -> str:
    """The marks as one value, in hex: for a directory of tens of thousands of files."""
    return hashlib.sha256(msgspec.json.encode(sorted(marks_of(place, marker).items()))).hexdigest()


def let_others_read(place: Path) -> None:
    """Have everybody read what lies there, who can reach it. Changes nothing else, and nothing twice. OSError."""
    for folder, _, _ in os.walk(place):
        _allow(Path(folder), READ | PASS)
    for path in _files(place):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            _allow(path, READ | (PASS if mode & stat.S_IXUSR else 0))


def _files(place: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(place):
        for name in names:
            yield Path(folder, name)


def _allow(path: Path, bits: int) -> None:
    mode = stat.S_IMODE(path.lstat().st_mode)
    if mode & bits != bits:
        path.chmod(mode | bits)
