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
    return shutil.disk_usage(path).free // MIB


def require_space(path: Path) -> None:
    """CannotStart when there is too little free space for a start."""
    free = free_mib(path)
    if free < START_FREE_MIB_MIN:
        raise CannotStart(
            f"at least {START_FREE_MIB_MIN} MiB free on the disk of {path}",
            f"{free} MiB",
            "Free some space, or use another disk with --data",
        )


def warning(path: Path) -> str:
    """A sentence for the status when space is low. Empty while there is space."""
    free = free_mib(path)
    if free >= RUN_FREE_MIB_MIN:
        return ""
    return (
        f"the disk of {path} is nearly full: expected at least {RUN_FREE_MIB_MIN} MiB free, found {free} MiB. "
        "Free some space: a part that stops meanwhile is started again when there is space"
    )
