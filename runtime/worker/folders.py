"""Directories in which a model may have written: opened, made and repaired, whatever stands there now.

A child may leave anything at any name: a link, a pipe, a device, a directory without permissions. So nothing below a
child's directory is opened by path. Each step is by name within a directory that is open already. A step follows no
link, waits for nothing, and refuses what is not of the expected kind.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class NotAFile(Exception):
    """Something has the name that is no regular file."""


def open_root(path: Path) -> int:
    """The directory that an operator named, open; made if there is none. OSError."""
    path.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def open_folder(within: int, *names: str) -> int:
    """The directory to which one name after another leads, open. OSError when a name is no directory."""
    fd = os.dup(within)
    for name in names:
        try:
            inner = os.open(name, _DIRECTORY, dir_fd=fd)
        finally:
            os.close(fd)
        fd = inner
    return fd


def open_file(within: int, name: str) -> int:
    """The regular file of that name, open for reading. NotAFile; OSError when there is none or it may not be read."""
    fd = os.open(name, _FILE, dir_fd=within)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotAFile
    return fd


def have_folder(within: int, name: str, aside: str) -> bool:
    """Make sure that the name is a directory which its owner may use. Anything else with the name gets the name `aside`
    then, and True is returned: deleting it could take long, if it is a huge file. OSError."""
    try:
        mode = os.stat(name, dir_fd=within, follow_symlinks=False).st_mode
    except FileNotFoundError:
        os.mkdir(name, dir_fd=within)
        return False
    if stat.S_ISDIR(mode):
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            unlock(within, name)
        return False
    os.rename(name, aside, src_dir_fd=within, dst_dir_fd=within)
    os.mkdir(name, dir_fd=within)
    return True


def unlock(within: int, name: str) -> None:
    """Give a directory all permissions of its owner, who could neither move nor empty it otherwise. OSError."""
    fd = os.open(name, _PLACE, dir_fd=within)
    try:
        os.chmod(f"/proc/self/fd/{fd}", stat.S_IRWXU)  # noqa: PTH101
    finally:
        os.close(fd)
