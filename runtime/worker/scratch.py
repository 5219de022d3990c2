"""A node's own disk space: what stays how long.

<root>/slots/<n>/outputs/             files that a model writes to be kept: until it says that the attempt is computed
<root>/attempts/<dispatch>/outputs/   the same files from then on, where no child sees them: until they are stored
<root>/attempts/<dispatch>/encoded/   what encoders made of pictures among these: as long
<root>/attempts/<dispatch>/inputs/    media that were prepared for the attempt: until it is computed
<root>/slots/<n>/inputs/              links to these, while the slot computes the attempt
<root>/slots/<n>/temporary/           TMPDIR and HOME while `predict` runs: until the attempt is computed
<root>/slots/<n>/kept/                TMPDIR at any other time, above all while `load` runs: until the child ends
<root>/slots/<n>/home/                HOME at any other time, with the caches of libraries: until the child ends
<root>/confinement/                   what a child's view of the disk is built on: always
<root>/gone/                          what a thread deletes: until the thread comes to it
<root>/lock                           held by the agent

A child ends when its slot is to run another version, when it has to be replaced, or with the node. What an agent that
was killed left goes when the next agent starts here. A library that remembers the TMPDIR of `load` writes to `kept`
later, too. A child may write below its slot's directory alone, where the node can hold it there.

All files here belong to models: the agent writes none, reads only outputs, and opens those step by step (`folders`). Of
a CPU worker, which runs no models, attempts/<preparation>/ holds sources and prepared media of its own.
The agent's loop only renames and makes directories, which takes no time worth a thread.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

import structlog

from runtime.worker.deletion import Deleter
from runtime.worker.folders import open_folder, open_root
from runtime.worker.strays import end_those_in

log = structlog.get_logger(__name__)

ATTEMPTS, SLOTS, GONE, CONFINEMENT = "attempts", "slots", "gone", "confinement"
INPUTS, OUTPUTS, ENCODED, HOME, KEPT, TEMPORARY = "inputs", "outputs", "encoded", "home", "kept", "temporary"

OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
"""Faults that no child makes."""

GIVEN_MODE = 0o555
"""Of a directory that a child may read, and not change."""

CLOSING_S = 3.0
"""How long a node that ends waits until all is deleted. The next node in this directory deletes the rest."""


class ScratchTaken(Exception):
    """Another node agent works in this directory."""


class Scratch:
    """For the agent's main thread. Any thread may call `open_outputs`, and what has to do with `encoded` and
    `fetched`."""

    def __init__(self, root: Path) -> None:
        """Take the directory over, and begin to delete what an agent that was killed left there. ScratchTaken,
        OSError."""
        root = root.absolute()
        self._path = str(root)
        self._root = open_root(root)
        self._owner_of: Callable[[int], int] = lambda _slot: 0
        self._untouched: dict[int, tuple[int, int]] = {}
        """Inode and time of change of each slot's temporary directory when it was made."""
        try:
            self._lock = _locked(self._root, root)
        except BaseException:  # do not keep a directory open that could not be taken over
            os.close(self._root)
            raise
        self._deleter = Deleter(self._root, GONE)
        for name in (ATTEMPTS, SLOTS):
            self._deleter.delete(name)
            self._deleter.have(name)

    # Strings instead of paths: every attempt asks for them, and making a Path takes longer than the rest of the call.

    @property
    def confinement(self) -> Path:
        return Path(self._path) / CONFINEMENT

    @property
    def path(self) -> Path:
        return Path(self._path)

    def give_slots_to(self, owner_of: Callable[[int], int]) -> None:
        """From now on a slot's directory is owned by the user of its children; 0: by this process's user."""
        self._owner_of = owner_of

    def attempt(self, dispatch: str) -> str:
        return f"{self._path}/{ATTEMPTS}/{dispatch}"

    def new_attempt(self, dispatch: str) -> str:
        """The directory of that name, made empty and private: for files of the node's own, which no child may name. Any
        thread may call it. OSError."""
        os.mkdir(f"{ATTEMPTS}/{dispatch}", mode=0o700, dir_fd=self._root)
        return self.attempt(dispatch)

    def outputs(self, dispatch: str) -> str:
        """Where the outputs of an attempt lie once it is computed. The agent must not open this path: a child made what
        lies there."""
        return f"{self.attempt(dispatch)}/{OUTPUTS}"

    def slot(self, slot: int) -> str:
        """The directory that the children of a slot may write to."""
        return f"{self._path}/{SLOTS}/{slot}"

    def writing(self, slot: int) -> str:
        """Where a child is told to write its outputs."""
        return f"{self._path}/{SLOTS}/{slot}/{OUTPUTS}"

    def home(self, slot: int) -> str:
        return f"{self._path}/{SLOTS}/{slot}/{HOME}"

    def kept(self, slot: int) -> str:
        """For temporary files that last as long as the slot's child."""
        return f"{self._path}/{SLOTS}/{slot}/{KEPT}"

    def temporary(self, slot: int) -> str:
        """For temporary files of one attempt."""
        return f"{self._path}/{SLOTS}/{slot}/{TEMPORARY}"

    def open_outputs(self, dispatch: str) -> int:
        """The directory with the outputs of the attempt's rank 0, open. OSError when there is no such directory."""
        return open_folder(self._root, ATTEMPTS, dispatch, OUTPUTS)

    def encoded(self, dispatch: str) -> str:
        """Where encoders write what they make for the attempt."""
        return f"{self.attempt(dispatch)}/{ENCODED}"

    def make_encoded(self, dispatch: str, owner: int) -> None:
        """Have that directory, which only its owner may use; 0: this process's user. OSError."""
        within = open_folder(self._root, ATTEMPTS, dispatch)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(ENCODED, dir_fd=within)
            if owner:
                os.chown(ENCODED, owner, owner, dir_fd=within, follow_symlinks=False)
        finally:
            os.close(within)

    def open_encoded(self, dispatch: str) -> int:
        """That directory, open. OSError when there is none."""
        return open_folder(self._root, ATTEMPTS, dispatch, ENCODED)

    def fetched(self, dispatch: str) -> str:
        """Where media that were prepared for the attempt lie. Only this process writes there."""
        return f"{self.attempt(dispatch)}/{INPUTS}"

    def make_fetched(self, dispatch: str) -> None:
        """Have that directory. OSError."""
        for path in (f"{ATTEMPTS}/{dispatch}", f"{ATTEMPTS}/{dispatch}/{INPUTS}"):
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, dir_fd=self._root)

    def give_fetched(self, slot: int, dispatch: str) -> str:
        """Put these media where the slot's child reads them; where that is. OSError."""
        self._deleter.delete(f"{SLOTS}/{slot}/{INPUTS}")
        with contextlib.ExitStack() as opened:
            source = open_folder(self._root, ATTEMPTS, dispatch, INPUTS)
            opened.callback(os.close, source)
            place = open_folder(self._root, SLOTS, str(slot))
            opened.callback(os.close, place)
            os.mkdir(INPUTS, dir_fd=place)
            given = open_folder(place, INPUTS)
            opened.callback(os.close, given)
            os.fchmod(given, GIVEN_MODE)
            for name in os.listdir(source):  # noqa: PTH208 (an open directory has no path)
                os.link(name, name, src_dir_fd=source, dst_dir_fd=given)
        return f"{self._path}/{SLOTS}/{slot}/{INPUTS}"

    def clean_fetched(self, dispatch: str) -> None:
        """The attempt is computed: have its media deleted."""
        self._deleter.delete(f"{ATTEMPTS}/{dispatch}/{INPUTS}")

    def end_strays(self) -> None:
        """End what children and encoders of an agent that was killed left running: nobody else works in this
        directory."""
        ended = sum(end_those_in(f"{self._path}/{name}") for name in (SLOTS, ATTEMPTS))
        if ended:
            log.warning("ended what an agent that was killed had left running", processes=ended)

    def keep_outputs(self, slot: int, dispatch: str) -> None:
        """The child computed the attempt: take its outputs where no child can name them. When it wrote none, or left
        what cannot be moved, the attempt has no outputs. OSError when the disk is full or fails."""
        self.clean(dispatch)  # dispatches are unique, but a child that is not held off may have made anything
        os.mkdir(f"{ATTEMPTS}/{dispatch}", dir_fd=self._root)
        try:
            folder = open_folder(self._root, SLOTS, str(slot))
        except OSError:  # the child put something else there
            return
        try:
            os.rename(OUTPUTS, f"{ATTEMPTS}/{dispatch}/{OUTPUTS}", src_dir_fd=folder, dst_dir_fd=self._root)
        except OSError as error:
            if error.errno in OF_THE_DISK:
                raise
        finally:
            os.close(folder)

    def free_bytes(self) -> int:
        """Room on the disk for whoever is not root."""
        found = os.fstatvfs(self._root)
        return found.f_bavail * found.f_frsize

    def new_home(self, slot: int, user_of: int | None = None) -> None:
        """An empty home and empty temporary directories for a new child. `user_of`: the slot whose children's user the
        child is, if that is another. OSError."""
        owner = self._owner_of(slot if user_of is None else user_of)
        place = f"{SLOTS}/{slot}"
        self._deleter.have(SLOTS)
        self._deleter.delete(place)
        for path in (place, f"{place}/{HOME}", f"{place}/{KEPT}"):
            os.mkdir(path, dir_fd=self._root)
            if owner:
                os.chown(path, owner, owner, dir_fd=self._root, follow_symlinks=False)
        self._make_temporary(slot, owner)

    def clean_home(self, slot: int) -> None:
        """The slot's child ended: have deleted what lasted as long as the child."""
        self._deleter.delete(f"{SLOTS}/{slot}")

    def clean(self, dispatch: str) -> None:
        """The attempt ended: have deleted what it left under its own name. Usually that is nothing, which costs two
        looks."""
        with contextlib.suppress(OSError):  # then no attempt can have left anything
            self._deleter.have(ATTEMPTS)
        self._deleter.delete(f"{ATTEMPTS}/{dispatch}")

    def clean_temporary(self, slot: int) -> None:
        """The slot's attempt ended: have its temporary files deleted, its inputs, and outputs that were not kept.
        Usually there are none, which costs three looks."""
        for name in (OUTPUTS, INPUTS):
            self._deleter.delete(f"{SLOTS}/{slot}/{name}")
        if self._is_untouched(slot):
            return
        self._deleter.delete(f"{SLOTS}/{slot}/{TEMPORARY}")
        with contextlib.suppress(OSError):  # the next attempt that uses the directory will fail and say so
            self._make_temporary(slot, self._owner_of(slot))

    def close(self, within_s: float = CLOSING_S) -> None:
        """Have everything deleted and let the directory go."""
        for name in (ATTEMPTS, SLOTS):
            self._deleter.delete(name)
        if self._deleter.close(within_s):
            os.close(self._root)
        else:
            log.info("left before all was deleted; the next node in this scratch deletes the rest")
        os.close(self._lock)

    def _make_temporary(self, slot: int, owner: int) -> None:
        """An empty directory dated 1970: any entry made in it gives the directory a later time, however soon it is
        made."""
        os.mkdir(f"{SLOTS}/{slot}/{TEMPORARY}", dir_fd=self._root)
        fd = open_folder(self._root, SLOTS, str(slot), TEMPORARY)
        try:
            if owner:
                os.fchown(fd, owner, owner)
            os.utime(fd, ns=(0, 0))
            status = os.fstat(fd)
            self._untouched[slot] = (status.st_ino, status.st_ctime_ns)
        finally:
            os.close(fd)

    def _is_untouched(self, slot: int) -> bool:
        """Whether nothing was written there. A model could set the directory's date back, but not the time of
        change."""
        try:
            status = os.stat(f"{SLOTS}/{slot}/{TEMPORARY}", dir_fd=self._root, follow_symlinks=False)
        except OSError:
            return False
        is_same = self._untouched.get(slot) == (status.st_ino, status.st_ctime_ns)
        return is_same and status.st_mtime_ns == 0 and stat.S_ISDIR(status.st_mode)


def _locked(within: int, root: Path) -> int:
    """The descriptor of the directory's lock, which is held. ScratchTaken, OSError."""
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
