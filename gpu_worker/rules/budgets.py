"""How much of a node's disk may wait there: what the operator allows, as far as the disk has it. Pure."""

from __future__ import annotations

from typing import NamedTuple

WAITING_PART = 2
"""Of the free room when the node starts, one part in so many may be filled by what waits to be encoded and stored. As
much again is left to what the slots leave on top of that, to versions and to inputs."""


class Budgets(NamedTuple):
    result_bytes: int
    """Of outputs and of pictures that wait, before nothing new starts."""
    frames_bytes: int
    """Of pictures that one attempt hands over to be encoded."""


def budgets(free_bytes: int, slots: int, result_bytes_max: int, frames_bytes_max: int) -> Budgets:
    """`result_bytes_max`, `frames_bytes_max`: what the operator allows. Every slot can leave its most on top of what
    waits, and the disk is still not full."""
    waiting = min(result_bytes_max, free_bytes // WAITING_PART)
    return Budgets(max(1, waiting), max(1, min(frames_bytes_max, waiting // slots)))
