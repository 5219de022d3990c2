"""The files that an attempt leaves to be kept, read without trusting whoever wrote them.

An output must be a regular file with a plain name in the attempt's own directory. The file is opened once, and all
reading goes through that one descriptor: at most as many bytes as the file had then, each byte once, hashed when it is
handed on. So the digest is that of what was stored, whatever happens to the file meanwhile. A file that changed is no
output, and neither is one that a process still has open for writing: what is read of it may be half of it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import signal
from collections.abc import Callable
from types import TracebackType

from contract.results import is_output_name
from gpu_worker.rules.handed_media import MEDIA_MAX, raw_name
from runtime.worker.folders import NotAFile, open_file

OUTPUTS_MAX = 100

READ_BYTES_MAX = 1024 * 1024
"""How much is read between two looks at whether anybody still wants the output."""


class BadOutput(Exception):
    """What the child left is no result."""

    def __init__(self, name: str, detail: str = "") -> None:
        """`name`: an identifier. `detail`: for error.txt; the text may quote the values."""
        super().__init__(name)
        self.name = name
        self.detail = detail


def check_names(names: tuple[str, ...]) -> None:
    """BadOutput when an attempt may not have these outputs."""
    if len(names) > OUTPUTS_MAX or len(set(names)) < len(names):
        raise BadOutput("TooManyOutputs")
    if not all(is_output_name(name) for name in names):
        raise BadOutput("OutputNameInvalid")


def bytes_of(folder: int, names: tuple[str, ...], media: int = 0) -> int:
    """What the files of these names in the open directory take, as far as an attempt may have such files, and the
    pictures of so many videos and images."""
    total = 0
    own = [name for name in names[:OUTPUTS_MAX] if is_output_name(name)]
    for name in [*own, *map(raw_name, range(min(media, MEDIA_MAX)))]:
        with contextlib.suppress(OSError):  # there is no such file: the attempt will fail, or it is encoded
            total += os.stat(name, dir_fd=folder, follow_symlinks=False).st_size
    return total


class OpenOutput:
    """One output file, open until the end of the `with`."""

    def __init__(self, folder: int, name: str) -> None:
        """BadOutput when there is no such file, or no regular file: a link or a device is refused."""
        try:
            self._fd = open_file(folder, name)
        except NotAFile:
            raise BadOutput("OutputNotAFile") from None
        except OSError:
            raise BadOutput("OutputMissing") from None
        self._name = name
        self._signature = self._look()
        self.bytes = os.fstat(self._fd).st_size

    def __enter__(self) -> OpenOutput:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        os.close(self._fd)

    @property
    def fd(self) -> int:
        """Open for reading."""
        return self._fd

    def reading(self, look: Callable[[], None]) -> OutputReading:
        """Read the file from its beginning. `look` is called now and then, and raises when the reading is to end."""
        return OutputReading(self._fd, self.bytes, look)

    def check_unchanged(self) -> None:
        """BadOutput when the file has changed since it was opened, or may change: somebody writes to it."""
        if self._look() != self._signature:
            raise _changed(f"{self._name}: expected a file that is complete, found that it changed while it was stored")
        self.check_closed()

    def check_closed(self) -> None:
        """BadOutput when a process has the file open for writing."""
        if _has_writer(self._fd):
            raise _changed(f"{self._name}: expected a file that nobody writes to, found that it is open for writing")

    def _look(self) -> tuple[int, int, int, int]:
        status = os.fstat(self._fd)
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class OutputReading:
    """The bytes of an output, each handed out once and hashed. A reading cannot be set back: begin another reading."""

    def __init__(self, fd: int, size: int, look: Callable[[], None]) -> None:
        self._fd = fd
        self._size = size
        self._look = look
        self._position = 0
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of all that was handed out, in hex."""
        return self._hash.hexdigest()

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most `size`; all that are left when `size` is negative.

        BadOutput when the file has become shorter since it was opened."""
        left = self._size - self._position
        wanted = left if size < 0 else min(size, left)
        parts = []
        while wanted:
            self._look()
            part = os.pread(self._fd, min(wanted, READ_BYTES_MAX), self._position)
            if not part:
                raise _changed("expected a file that is complete, found that it became shorter while it was stored")
            self._hash.update(part)
            self._position += len(part)
            wanted -= len(part)
            parts.append(part)
        return b"".join(parts)


def _changed(found: str) -> BadOutput:
    return BadOutput("OutputChanged", f"{found}; finish and close every output before predict returns\n")


def _has_writer(fd: int) -> bool:
    """Whether any process has the file open, or mapped, for writing. The kernel refuses a read lease then. False where
    the file system has no leases. The lease is given back at once: whoever opens the file meanwhile waits for that, and
    the signal that asks for it is one that a process ignores."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
