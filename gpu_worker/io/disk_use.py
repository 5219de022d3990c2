"""How much an attempt has written: whether a full disk is the attempt's doing or ours."""

from __future__ import annotations

import os

ENTRIES_MAX = 1_000
"""More entries are not looked at, which would take time of the agent's loop."""


def wrote_less_than(bytes_max: int, *directories: str) -> bool:
    """Whether all files below these directories take less than `bytes_max`. False for more than ENTRIES_MAX entries:
    whoever wrote so many is not believed to be small. Links are not followed."""
    taken = entries = 0
    for directory in directories:
        for folder, folders, names in os.walk(directory, onerror=None, followlinks=False):
            for name in (*folders, *names):
                entries += 1
                if entries > ENTRIES_MAX:
                    return False
                try:
                    taken += os.lstat(f"{folder}/{name}").st_blocks * 512  # strings, as in Scratch
                except OSError:
                    continue
    return taken < bytes_max
