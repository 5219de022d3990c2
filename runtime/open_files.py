"""How many files and sockets a process may have open."""

from __future__ import annotations

import resource

OPEN_FILES = 65_536
"""What each process of ours asks for. Many systems begin at 1,024, which that many silent clients of an API fill, and a
node with many slots, its children's pipes and its uploads, nearly."""


def raise_open_files(wanted: int = OPEN_FILES) -> int:
    """Raises the soft limit as far as the hard one lets us, never above `wanted`, and returns the limit in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    may = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if may > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (may, hard))
    return max(soft, may)
