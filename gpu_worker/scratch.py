"""A node's own disk space: what an attempt writes lives here until the attempt ends, and not longer.

<root>/attempts/<dispatch>/outputs/   files that a model writes to be kept
<root>/attempts/<dispatch>/log.txt    what it prints (with log.1.txt, the part before)
<root>/attempts/<dispatch>/rank-<n>/  the same of rank n of a gang; rank 0 has the place above
<root>/slots/<n>/home, temporary      its home and temporary directory
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
        self._attempts, self._slots, self._gone = (f"{root}/{name}" for name in ("attempts", "slots", "gone"))
        self._numbers = count()
        for directory in (self._attempts, self._slots, self._gone):
            shutil.rmtree(directory, ignore_errors=True)
            Path(directory).mkdir()

    # Strings instead of paths: these are asked for with every attempt, and a Path takes longer than the question.

    def attempt(self, dispatch: str, rank: int = 0) -> str:
        return f"{self._attempts}/{dispatch}/rank-{rank}" if rank else f"{self._attempts}/{dispatch}"

    def outputs(self, dispatch: str, rank: int = 0) -> str:
        return f"{self.attempt(dispatch, rank)}/outputs"

    def home(self, slot: int) -> str:
        return f"{self._slots}/{slot}/home"

    def temporary(self, slot: int) -> str:
        return f"{self._slots}/{slot}/temporary"

    def new_home(self, slot: int) -> list[str]:
        """An empty home and temporary directory for a new child. What was there is set aside, to be `remove`d."""
        gone = self._set_aside(f"{self._slots}/{slot}")
        Path(self.home(slot)).mkdir(parents=True)
        self._make_temporary(slot)
        return gone

    def clean(self, dispatch: str) -> list[str]:
        """The attempt ended: set aside what it left under its own name. Usually nothing, which costs one look."""
        return self._set_aside(self.attempt(dispatch))

    def clean_temporary(self, slot: int) -> list[str]:
        """The slot's attempt ended: set aside its temporary files. Usually none, which costs one look."""
        temporary = self.temporary(slot)
        try:
            untouched = os.stat(temporary).st_mtime_ns == 0  # noqa: PTH116
        except OSError:
            untouched = False
        if untouched:
            return []
        gone = self._set_aside(temporary)
        self._make_temporary(slot)
        return gone

    def remove(self, gone: list[str]) -> None:
        """Delete what was set aside. May take a while."""
        for path in gone:
            shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Delete everything and let the directory go."""
        for directory in (self._attempts, self._slots, self._gone):
            shutil.rmtree(directory, ignore_errors=True)
        self._lock.close()

    def _make_temporary(self, slot: int) -> None:
        """An empty directory dated 1970: any entry that comes gives it a later time, at whatever speed."""
        temporary = self.temporary(slot)
        Path(temporary).mkdir(parents=True, exist_ok=True)
        os.utime(temporary, ns=(0, 0))

    def _set_aside(self, path: str) -> list[str]:
        if not os.path.lexists(path):
            return []
        target = f"{self._gone}/{next(self._numbers)}"
        try:
            os.rename(path, target)  # noqa: PTH104
        except OSError:
            return []
        return [target]


class AttemptLog:
    """What one attempt prints, bounded. Never the agent's log: it may quote the user."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
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
