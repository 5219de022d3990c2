"""Orders to the node whose rules are tested."""

from __future__ import annotations

import msgspec

from contract.orders import Kill, Recall, Run

NODE, SESSION, POOL = "node-1", "s1", "main"
JOB, OTHER, THIRD = ("main-" + digit * 32 for digit in "012")


def run(dispatch: str = "1.1.0", job: str = JOB, **changes: object) -> Run:
    order = Run(NODE, SESSION, POOL, 1, job, 1, dispatch, "noop", "v1", 1000, 0, 0, "sha256:")
    return msgspec.structs.replace(order, **changes)


def kill(dispatch: str = "1.1.0", job: str = JOB, **changes: object) -> Kill:
    return msgspec.structs.replace(Kill(NODE, SESSION, POOL, 1, job, dispatch), **changes)


def recall(dispatch: str = "1.1.0", job: str = JOB) -> Recall:
    return Recall(NODE, SESSION, POOL, 1, job, dispatch)
