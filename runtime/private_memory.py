"""What a process of ours holds in memory and environment: for itself, and for no other process of the same user.

The kernel gives a process's environment, memory and open files to whatever runs as the same user. A process that is not
dumpable is read by root alone, and leaves no core file, which would be that memory on a disk.
"""

from __future__ import annotations

import ctypes
import resource

PROCESS_HEADER = "headrace-process"
"""In what a process answers about its readiness: its process id. Whoever started it cannot look up which ports it
listens at, for that stands beside its memory."""

PR_GET_DUMPABLE, PR_SET_DUMPABLE = 3, 4


def keep_memory_private() -> None:
    """For the first line of a program: what runs before it can be read."""
    _libc().prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def is_memory_private() -> bool:
    return _libc().prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1 and resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
