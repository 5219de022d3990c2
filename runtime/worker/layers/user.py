"""Who a child is: another user than the agent where the agent is root, and nobody with rights in any case."""

from __future__ import annotations

import ctypes
import os
from typing import Any

from_kernel: Any = None
"""The module `kernel`, which `enter.py` puts here."""

CAPABILITIES_V3 = 0x20080522


def become(plan: Any) -> None:
    """`plan`: uid, groups. uid 0: stay who we are, without any capability. OSError."""
    uid = plan["uid"]
    if uid:
        os.setgroups(plan["groups"])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    drop_capabilities()
    from_kernel.prctl(from_kernel.PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """OSError."""
    header = (ctypes.c_uint32 * 2)(CAPABILITIES_V3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    from_kernel.called(from_kernel.libc.capset(ctypes.byref(header), ctypes.byref(nothing)), "capset")
