"""One stack on one data directory: a lock that the kernel takes back however its holder ends."""

from __future__ import annotations

import fcntl
import os
import struct
from typing import IO

from local.options import Layout

_FLOCK = "hhqqi4x"
"""C's `struct flock` on 64-bit Linux: type, whence, start, length, process id."""


class StackLock:
    """The supervisor holds this lock. Any process may ask who holds the lock, without taking it.

    fcntl alone answers that question: a lock of `flock` (and of filelock) does not say who holds it, and a process id
    in a file can be read before it is written. See docs/decisions/0018."""

    def __init__(self, layout: Layout) -> None:
        self._path = layout.lock
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        """Take the lock until this process ends. False when another process holds the lock."""
        file = self._path.open("a")
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def holder(self) -> int | None:
        """The id of the process that holds the lock, or None. The holder must not ask: closing the file would release
        its lock."""
        assert self._file is None
        try:
            with self._path.open() as file:
                question = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, question))
        except FileNotFoundError:
            return None
        return None if kind == fcntl.F_UNLCK else int(pid)
