"""Calls of the kernel that Python has no function for."""

from __future__ import annotations

import ctypes
import os
from typing import Any

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x8, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID = 0x1, 0x2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = (
    0x00020000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38

OPEN_TREE, MOVE_MOUNT, OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH = 428, 429, 0x1, 0x4
MOUNT_SETATTR, LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 442, 444, 445, 446
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

libc = ctypes.CDLL(None, use_errno=True)


def called(result: int, what: str) -> int:
    """The result of a call. OSError when the call failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def syscall(number: int, *arguments: Any) -> int:
    """OSError."""
    widened = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return called(libc.syscall(ctypes.c_long(number), *widened), f"system call {number}")


def unshare(flags: int) -> None:
    """OSError."""
    called(libc.unshare(flags), "unshare")


def enter(namespace: int) -> None:
    """Be in a namespace that is open. OSError."""
    called(libc.setns(namespace, 0), "setns")


def copy_mount(path: str) -> int:
    """A descriptor of what is mounted there, to be mounted elsewhere too. OSError."""
    return syscall(OPEN_TREE, AT_FDCWD, os.fsencode(path), OPEN_TREE_CLONE | os.O_CLOEXEC)


def mount_copy(copy: int, target: str) -> None:
    """OSError."""
    syscall(MOVE_MOUNT, copy, b"", AT_FDCWD, os.fsencode(target), MOVE_MOUNT_F_EMPTY_PATH)


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """OSError."""
    done = libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        options.encode() if options else None,
    )
    called(done, f"mount {target}")


def set_mount(target: str, attributes: int, *, recursive: bool) -> None:
    """Give a mount attributes, such as that it can only be read. OSError."""
    wanted = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    syscall(
        MOUNT_SETATTR,
        AT_FDCWD,
        os.fsencode(target),
        AT_RECURSIVE if recursive else 0,
        ctypes.byref(wanted),
        ctypes.sizeof(wanted),
    )


def pivot_root() -> None:
    """Make the current directory the root, and let the former root go. OSError."""
    syscall(PIVOT_ROOT[os.uname().machine], b".", b".")
    called(libc.umount2(b".", MNT_DETACH), "umount")


def prctl(option: int, value: int) -> None:
    """OSError."""
    called(libc.prctl(option, value, 0, 0, 0), f"prctl {option}")
