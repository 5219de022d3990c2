"""What every arm's job does, ours included: note when it was submitted and when it started, one line in a file of the
process. Imports the standard library only."""

from __future__ import annotations

import os
import time
from typing import TextIO

_files: dict[str, TextIO] = {}


def stamp(sent_ns: int, folder: str) -> None:
    """Append `sent_ns started_ns` (wall clock, one machine) to this process's file in `folder`."""
    started_ns = time.time_ns()
    file = _files.get(folder)
    if file is None:
        file = _files[folder] = open(f"{folder}/{os.getpid()}.txt", "a", buffering=1)  # noqa: PTH123, SIM115
    file.write(f"{sent_ns} {started_ns}\n")
