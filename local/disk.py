"""Free space where the data lies: enough to start, and getting low."""

from __future__ import annotations

import shutil
from pathlib import Path

from local.errors import CannotStart

MIB = 1024 * 1024

START_FREE_MIB_MIN = 1024
"""A starting stack writes about 300 MiB: the first segments of topics, and Postgres. Environments of models come on
top."""

RUN_FREE_MIB_MIN = 256
"""With less, a crashed part is not started again, and `status` warns. Kafka and Postgres stop when a write fails, and
each start writes more."""


def free_mib(path: Path) -> int:
    """Free space on the disk of this directory, or of the nearest one above it that exists."""
    return shutil.disk_usage(existing(path)).free // MIB


def existing(path: Path) -> Path:
    """The directory itself, or the nearest one above it that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def require_space(path: Path) -> None:
    """CannotStart when there is too little free space for a start. The directory need not exist yet."""
    free = free_mib(path)
    if free < START_FREE_MIB_MIN:
        raise CannotStart(
            f"at least {_in_bytes(START_FREE_MIB_MIN)} free on the disk of {path}",
            _in_bytes(free),
            "Free some space, or use another disk with --data",
        )


def warning(path: Path) -> str:
    """A sentence for the status when space is low. Empty while there is space."""
    free = free_mib(path)
    if free >= RUN_FREE_MIB_MIN:
        return ""
    return (
        f"the disk of {path} is nearly full: expected at least {_in_bytes(RUN_FREE_MIB_MIN)} free,"
        f" found {_in_bytes(free)}. Free some space: a part that stops meanwhile is started again when there is space"
    )


def _in_bytes(mib: int) -> str:
    return f"{mib * MIB:,} bytes ({mib} MiB)"
