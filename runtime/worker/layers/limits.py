"""What a child may use up: processes, the size of a file, address space; and no core files."""

from __future__ import annotations

import os
import resource
from typing import Any

UMASK = 0o077
GRACE_S = 2
"""Seconds of a processor between SIGXCPU, which a program may take for a wish, and SIGKILL."""


def apply(plan: Any) -> None:
    """`plan`: nproc, fsize, address_space and, where the child is a decoder, cpu_s and open_files. 0 leaves the limit
    as it is. A limit that is lower already stays. OSError."""
    wanted = {
        resource.RLIMIT_NPROC: plan["nproc"],
        resource.RLIMIT_FSIZE: plan["fsize"],
        resource.RLIMIT_AS: plan["address_space"],
        resource.RLIMIT_NOFILE: plan.get("open_files", 0),
    }
    for limit, most in wanted.items():
        if most:
            found = resource.getrlimit(limit)[1]
            least = most if found == resource.RLIM_INFINITY else min(found, most)
            resource.setrlimit(limit, (least, least))
    if seconds := plan.get("cpu_s", 0):
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + GRACE_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(UMASK)
