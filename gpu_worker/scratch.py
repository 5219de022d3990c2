"""A node's own disk space: what an attempt writes lives here until the attempt ends, and not longer.

<root>/attempts/<dispatch>/outputs/   files that a model writes to be kept
<root>/attempts/<dispatch>/log.txt    what it prints (with log.1.txt, the part before)
<root>/slots/<n>/home, tmp            its home and temporary directory
<root>/gone/                          on its way out
"""

from __future__ import annotations

import fcntl
import os
import shutil
from itertools import count
from pathlib import Path

LOG_HALF_BYTES = 256 * 1024
"""An attempt's log keeps its last 256 to 512 KiB."""

LOG_TAIL_BYTES = 16 * 1024
"""How much of it goes into error.txt when a child dies without a word."""


class ScratchTaken(Exception):
    """Another node agent works in this directory."""


class Scratch:
    def __init__(self, root: Path) -> None:
        """Take the directory over and delete what an agent that was killed left there. ScratchTaken, OSError."""
        root = root.absolute()
        root.mkdir(parents=True, exist_ok=True)
        self._lock = (root / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise ScratchTaken(
                f"expected {root} to be unused, found another node agent in it; stop that one, or give this one "
                "a node name or a --scratch of its own"
            ) from None
        self._attempts, self._slots, self._gone = root / "attempts", root / "slots", root / "gone"
        self._numbers = count()
        for directory in (self._attempts, self._slots, self._gone):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()

    def attempt(self, dispatch: str) -> Path:
        return self._attempts / dispatch

    def outputs(self, dispatch: str) -> Path:
        return self._attempts / dispatch / "outputs"

    def home(self, slot: int) -> Path:
        return self._slots / str(slot) / "home"

    def temporary(self, slot: int) -> Path:
        return self._slots / str(slot) / "tmp"

    def new_home(self, slot: int) -> list[Path]:
        """An empty home and temporary directory for a new child. What was there is set aside, to be `remove`d."""
        gone = [path for path in (self._set_aside(self._slots / str(slot)),) if path is not None]
        self.home(slot).mkdir(parents=True)
        self.temporary(slot).mkdir()
        return gone

    def clean(self, dispatch: str) -> list[Path]:
        """The attempt ended: set aside what it left under its own name. Usually nothing, which costs one look."""
        gone = self._set_aside(self.attempt(dispatch))
        return [] if gone is None else [gone]

    def clean_temporary(self, slot: int) -> list[Path]:
        """The slot's attempt ended: set aside its temporary files. Usually none, which costs one look."""
        if not _has_entries(self.temporary(slot)):
            return []
        gone = self._set_aside(self.temporary(slot))
        self.temporary(slot).mkdir(exist_ok=True)
        return [] if gone is None else [gone]

    def remove(self, gone: list[Path]) -> None:
        """Delete what was set aside. May take a while."""
        for path in gone:
            shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Delete everything and let the directory go."""
        for directory in (self._attempts, self._slots, self._gone):
            shutil.rmtree(directory, ignore_errors=True)
        self._lock.close()

    def _set_aside(self, path: Path) -> Path | None:
        target = self._gone / str(next(self._numbers))
        try:
            path.rename(target)
        except OSError:
            return None
        return target


def _has_entries(directory: Path) -> bool:
    try:
        with os.scandir(directory) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


class AttemptLog:
    """What one attempt prints, bounded. Never the agent's log: it may quote the user."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._bytes = 0

    def write(self, data: bytes) -> None:
        """OSError when the disk is full."""
        if self._bytes == 0:
            self._directory.mkdir(parents=True, exist_ok=True)
        elif self._bytes + len(data) > LOG_HALF_BYTES:
            (self._directory / "log.txt").replace(self._directory / "log.1.txt")
            self._bytes = 0
        with (self._directory / "log.txt").open("ab") as file:
            file.write(data)
        self._bytes += len(data)

    def tail(self) -> str:
        """Its last words, at most LOG_TAIL_BYTES."""
        kept = b""
        for name in ("log.1.txt", "log.txt"):
            path = self._directory / name
            if path.exists():
                kept += path.read_bytes()
        return kept[-LOG_TAIL_BYTES:].decode("utf-8", "replace")
