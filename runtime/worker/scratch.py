"""A node's own disk space: what an attempt writes lives here until the attempt ends, and not longer.

<root>/attempts/<dispatch>/outputs/   files that a model writes to be kept
<root>/attempts/<dispatch>/rank-<n>/  the same of rank n of a gang; rank 0 has the place above
<root>/slots/<n>/home, temporary      its home and temporary directory
<root>/gone/                          on its way out: a thread deletes it

All of it belongs to models: the agent writes nothing here, reads nothing but outputs, and opens those step by step
(`folders`). On the agent's loop nothing is done but to rename and to make a directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from pathlib import Path

import structlog

from runtime.worker.deletion import Deleter
from runtime.worker.folders import have_folder, open_folder, open_root

log = structlog.get_logger(__name__)

ATTEMPTS, SLOTS, GONE = "attempts", "slots", "gone"
OUTPUTS, HOME, TEMPORARY = "outputs", "home", "temporary"

CLOSING_S = 3.0
"""How long a node that ends waits for all to be deleted; the next one in this directory deletes the rest."""


class ScratchTaken(Exception):
    """Another node agent works in this directory."""


class Scratch:
    """For the agent's main thread; `open_outputs` is for any."""

    def __init__(self, root: Path) -> None:
        """Take the directory over; what an agent that was killed left there is deleted meanwhile. ScratchTaken,
        OSError."""
        root = root.absolute()
        self._path = str(root)
        self._root = open_root(root)
        self._untouched: dict[int, tuple[int, int]] = {}
        """Inode and time of change of each slot's temporary directory, as it was made."""
        try:
            self._lock = _locked(self._root, root)
        except BaseException:  # a directory that could not be taken over is not kept open
            os.close(self._root)
            raise
        self._deleter = Deleter(self._root, GONE)
        for name in (ATTEMPTS, SLOTS):
            self._deleter.delete(name)
            have_folder(self._root, name)

    # Strings instead of paths: these are asked for with every attempt, and a Path takes longer than the question.

    def attempt(self, dispatch: str, rank: int = 0) -> str:
        return f"{self._path}/{_attempt(dispatch, rank)}"

    def outputs(self, dispatch: str, rank: int = 0) -> str:
        """Where a child is told to write its outputs. For the child only: it may put anything there."""
        return f"{self.attempt(dispatch, rank)}/{OUTPUTS}"

    def home(self, slot: int) -> str:
        return f"{self._path}/{SLOTS}/{slot}/{HOME}"

    def temporary(self, slot: int) -> str:
        return f"{self._path}/{SLOTS}/{slot}/{TEMPORARY}"

    def open_outputs(self, dispatch: str) -> int:
        """The directory with the attempt's outputs (of rank 0), open. OSError when there is no such directory."""
        return open_folder(self._root, ATTEMPTS, dispatch, OUTPUTS)

    def new_home(self, slot: int) -> None:
        """An empty home and temporary directory for a new child. OSError."""
        place = f"{SLOTS}/{slot}"
        have_folder(self._root, SLOTS)
        self._deleter.delete(place)
        os.mkdir(place, dir_fd=self._root)
        os.mkdir(f"{place}/{HOME}", dir_fd=self._root)
        self._make_temporary(slot)

    def clean(self, dispatch: str) -> None:
        """The attempt ended: have what it left under its own name deleted. Usually nothing, which costs two looks."""
        with contextlib.suppress(OSError):  # then no attempt can leave anything either
            have_folder(self._root, ATTEMPTS)
        self._deleter.delete(_attempt(dispatch))

    def clean_temporary(self, slot: int) -> None:
        """The slot's attempt ended: have its temporary files deleted. Usually none, which costs one look."""
        if self._is_untouched(slot):
            return
        self._deleter.delete(f"{SLOTS}/{slot}/{TEMPORARY}")
        with contextlib.suppress(OSError):  # the next attempt that wants it finds that out
            self._make_temporary(slot)

    def close(self, within_s: float = CLOSING_S) -> None:
        """Have everything deleted and let the directory go."""
        for name in (ATTEMPTS, SLOTS):
            self._deleter.delete(name)
        if self._deleter.close(within_s):
            os.close(self._root)
        else:
            log.info("left before all was deleted; the next node in this scratch deletes the rest")
        os.close(self._lock)

    def _make_temporary(self, slot: int) -> None:
        """An empty directory dated 1970: any entry that comes gives it a later time, at whatever speed."""
        os.mkdir(f"{SLOTS}/{slot}/{TEMPORARY}", dir_fd=self._root)
        fd = open_folder(self._root, SLOTS, str(slot), TEMPORARY)
        try:
            os.utime(fd, ns=(0, 0))
            status = os.fstat(fd)
            self._untouched[slot] = (status.st_ino, status.st_ctime_ns)
        finally:
            os.close(fd)

    def _is_untouched(self, slot: int) -> bool:
        """Its date alone could be set back by whoever wrote there; the time of change cannot."""
        try:
            status = os.stat(f"{SLOTS}/{slot}/{TEMPORARY}", dir_fd=self._root, follow_symlinks=False)
        except OSError:
            return False
        is_same = self._untouched.get(slot) == (status.st_ino, status.st_ctime_ns)
        return is_same and status.st_mtime_ns == 0 and stat.S_ISDIR(status.st_mode)


def _attempt(dispatch: str, rank: int = 0) -> str:
    return f"{ATTEMPTS}/{dispatch}/rank-{rank}" if rank else f"{ATTEMPTS}/{dispatch}"


def _locked(within: int, root: Path) -> int:
    """The lock of the directory, held. ScratchTaken, OSError."""
    fd = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600, dir_fd=within)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise ScratchTaken(
            f"expected {root} to be unused, found another node agent in it; stop that one, or give this one "
            "a node name or a --scratch of its own"
        ) from None
    return fd
