"""Whether a data directory can be used: by its path, asked before anything is started or written, and by who may read
it. Every prompt lies in there, in Kafka's segments and in the store's objects."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from local.errors import CannotStart
from local.options import Layout
from runtime.private_files import OTHERS

DEPOT = "depot"
"""The folder of a node's own files in which versions and their environments lie."""

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


def make_private(layout: Layout) -> None:
    """Make the data directory for its owner alone, or see that it is one which `tighten` may make so. CannotStart when
    it is another user's, or holds something else than a stack's data for others to read."""
    layout.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = layout.data.stat()
    if found.st_uid != os.geteuid():
        raise CannotStart(
            f"the data directory {layout.data} to belong to user {os.geteuid()}",
            f"user {found.st_uid}, who may read every prompt in it",
            "Name another one with --data, for example one inside it",
        )
    if not found.st_mode & OTHERS:
        return
    a_stacks = layout.memory.exists() or layout.lock.exists()
    if not a_stacks and any(layout.data.iterdir()):
        raise CannotStart(
            f"the data directory {layout.data} to be empty or for its owner alone, because prompts will lie in it",
            f"other files in it, and mode {stat.S_IMODE(found.st_mode):04o}",
            f"Name another one with --data, or run `chmod 700 {layout.data}` if nobody else needs it",
        )
    layout.data.chmod(0o700)


def tighten(layout: Layout) -> int:
    """Take every file of this data from group and others. How many they had: an older release left them so.

    Call it with the stack's lock, before anything runs. No link is followed. What lies in a node's depot is left
    alone: models, which may be another user, read it, and it has other names too, in uv's cache. The depot itself is
    shut."""
    loose = 0
    for folder, folders, files in os.walk(layout.data):
        if _is_of_a_depot(layout, folder):
            folders.clear()
            continue
        for name in folders + files:
            path = os.path.join(folder, name)  # noqa: PTH118 (there may be many)
            found = os.lstat(path)
            if not stat.S_ISLNK(found.st_mode) and found.st_mode & OTHERS and found.st_uid == os.geteuid():
                os.chmod(path, stat.S_IMODE(found.st_mode) & ~OTHERS)  # noqa: PTH101
                loose += 1
    return loose


def _is_of_a_depot(layout: Layout, folder: str) -> bool:
    return Path(folder).relative_to(layout.data).parts[2:3] == (DEPOT,)
