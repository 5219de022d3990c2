"""What a child may do with what it sees (Landlock): read, and write in a few places; signal itself and nobody else.

The kernel also keeps a process in such a domain from the memory of every process outside of the domain.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from typing import Any

from_kernel: Any = None
"""The module `kernel`, which `enter.py` puts here."""

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER, TRUNCATE, IOCTL_DEV = (1 << bit for bit in range(13, 16))
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
READING = EXECUTE | READ_FILE | READ_DIR
WRITING = READING | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_SYM
WRITING |= REFER | TRUNCATE | IOCTL_DEV
USING = READING | WRITE_FILE | TRUNCATE | IOCTL_DEV
"""Of devices: whoever may use them makes none."""

BIND_TCP, CONNECT_TCP = 1, 2
SCOPE_ABSTRACT_UNIX, SCOPE_SIGNAL = 1, 2
VERSION = 1


def abi() -> int:
    """Which version of Landlock the kernel has; 0 for none."""
    try:
        return int(from_kernel.syscall(from_kernel.LANDLOCK_CREATE, None, 0, VERSION))
    except OSError:
        return 0


def known(version: int) -> int:
    """The rights over files that this version knows."""
    bits = 13 if version < 2 else 14 if version < 3 else 15 if version < 5 else 16
    return int((1 << bits) - 1)


def restrict(plan: Any) -> None:
    """`plan`: abi, read, write, devices, network ("shut" or "open"), shares_sockets. OSError."""
    k, version = from_kernel, plan["abi"]
    rights = known(version)
    network = BIND_TCP | CONNECT_TCP if version >= 4 and plan["network"] == "shut" else 0
    scope = 0
    if version >= 6:
        scope = SCOPE_SIGNAL | (0 if plan["shares_sockets"] else SCOPE_ABSTRACT_UNIX)
    said = struct.pack("=QQQ", rights, network, scope)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = k.syscall(k.LANDLOCK_CREATE, said, len(said), 0)
    for paths, allowed in ((plan["read"], READING), (plan["devices"], USING), (plan["write"], WRITING)):
        for path in paths:
            allow(ruleset, path, allowed & rights)
    k.syscall(k.LANDLOCK_RESTRICT, ruleset, 0)
    os.close(ruleset)


def allow(ruleset: int, path: str, rights: int) -> None:
    """Nothing when there is nothing of this path. OSError."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= OF_A_FILE
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, fd))
        from_kernel.syscall(from_kernel.LANDLOCK_ADD, ruleset, 1, rule, 0)
    finally:
        os.close(fd)
