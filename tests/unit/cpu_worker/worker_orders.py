"""Orders to the worker whose rules are tested."""

from __future__ import annotations

import msgspec

from contract.orders import Kill, Prepare

NODE, SESSION, POOL = "cpu-1", "s1", "main"
JOB, OTHER, THIRD, FOURTH = ("main-" + digit * 32 for digit in "0123")
VERSION = "sha256:" + "e" * 64


def prepare(preparation: str = "1.1.0", job: str = JOB, **changes: object) -> Prepare:
    order = Prepare(NODE, SESSION, POOL, 1, job, preparation, "clip", VERSION, 60_000, 0, 7, "sha256:", "acme")
    return msgspec.structs.replace(order, **changes)


def kill(preparation: str = "1.1.0", job: str = JOB, **changes: object) -> Kill:
    return msgspec.structs.replace(Kill(NODE, SESSION, POOL, 1, job, preparation), **changes)
