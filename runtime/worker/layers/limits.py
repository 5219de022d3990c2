"""What a child may use up: processes, the size of a file, address space; and no core files."""

from __future__ import annotations

import os
import resource
from typing import Any

UMASK = 0o077


def apply(plan: Any) -> None:
    """`plan`: nproc, fsize, as, where 0 leaves the limit as it is. A limit that is lower already stays. OSError."""
    wanted = {
        resource.RLIMIT_NPROC: plan["nproc"],
        resource.RLIMIT_FSIZE: plan["fsize"],
        resource.RLIMIT_AS: plan["address_space"],
    }
    for limit, most in wanted.items():
        if most:
            found = resource.getrlimit(limit)[1]
            least = most if found == resource.RLIM_INFINITY else min(found, most)
            resource.setrlimit(limit, (least, least))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(UMASK)
