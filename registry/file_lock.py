"""One at a time, among the threads and processes of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from registry.errors import RegistryError

WAIT_S_MAX = 7_200.0
"""A holder fetches a version or builds an environment: at most a few runs of uv of 30 minutes each (registry.uv)."""
LOOK_EVERY_S = 0.02


@contextmanager
def hold(path: Path, what: str, within_s: float = WAIT_S_MAX) -> Iterator[None]:
    """Waits for the lock file and holds it. The lock ends with the block, or with the process however that ends.

    Threads of one process exclude each other too. `what` is worked on under the lock; RegistryError(unavailable) names
    it, the lock file and the process that holds it when the lock does not come free within `within_s` seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, within_s, poll_interval=LOOK_EVERY_S, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise RegistryError("unavailable", _held_message(path, what, within_s)) from None
    try:
        path.write_text(str(os.getpid()))
        yield
    finally:
        lock.release()


def _held_message(path: Path, what: str, within_s: float) -> str:
    holder = path.read_text().strip() or "unknown"
    return (
        f"expected to work on {what} within {within_s:g} s, found {path} held by process {holder}; if that process"
        f" hangs, end it (`kill {holder}`), which frees the lock, and try again. Do not remove the file"
    )
