"""Directories that a model may have had its hands on: opened, made and put right, whatever stands there now.

A child may leave anything at any name: a link, a pipe, a device, a directory without permissions. So nothing below a
directory of its is opened by path. Each step is by name within a directory that is open already, follows no link,
waits for nothing, and takes only what is what it should be.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class NotAFile(Exception):
    """There is something of that name, and it is no regular file."""


def open_root(path: Path) -> int:
    """The directory an operator named: made if it is not there. OSError."""
    path.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def open_folder(within: int, *names: str) -> int:
    """The directory that one name after another leads to. OSError when one of them is no directory."""
    fd = os.dup(within)
    for name in names:
        try:
            inner = os.open(name, _DIRECTORY, dir_fd=fd)
        finally:
            os.close(fd)
        fd = inner
    return fd


def open_file(within: int, name: str) -> int:
    """The regular file of that name, to be read. NotAFile; OSError when there is none or it may not be read."""
    fd = os.open(name, _FILE, dir_fd=within)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotAFile
    return fd


def have_folder(within: int, name: str) -> None:
    """Have a directory of that name which its owner may use; what else has the name is deleted. OSError."""
    try:
        mode = os.stat(name, dir_fd=within, follow_symlinks=False).st_mode
        if not stat.S_ISDIR(mode):
            os.unlink(name, dir_fd=within)
            os.mkdir(name, dir_fd=within)
        elif mode & stat.S_IRWXU != stat.S_IRWXU:
            unlock(within, name)
    except FileNotFoundError:
        os.mkdir(name, dir_fd=within)


def unlock(within: int, name: str) -> None:
    """Give a directory the permissions without which even its owner can neither move nor empty it. OSError."""
    fd = os.open(name, _PLACE, dir_fd=within)
    try:
        os.chmod(f"/proc/self/fd/{fd}", stat.S_IRWXU)  # noqa: PTH101
    finally:
        os.close(fd)
