"""How much of a node's disk may wait there: what the operator allows, as far as the disk has it. Pure."""

from __future__ import annotations

from typing import NamedTuple

PART = 4
"""Of the free room when the node starts, one part in so many may be filled by what waits to be encoded and stored, as
much by what the slots leave on top of that, and as much by prepared media. The rest is left to versions."""


class Budgets(NamedTuple):
    result_bytes: int
    """Of outputs and of pictures that wait, before nothing new starts."""
    frames_bytes: int
    """Of pictures that one attempt hands over to be encoded."""
    input_bytes: int
    """Of prepared media that wait for their attempts."""


def budgets(
    free_bytes: int, slots: int, *, result_bytes_max: int, frames_bytes_max: int, input_bytes_max: int
) -> Budgets:
    """`…_max`: what the operator allows. Every slot can leave its most on top of what waits, and the disk is still not
    full."""
    waiting = min(result_bytes_max, free_bytes // PART)
    inputs = min(input_bytes_max, free_bytes // PART)
    return Budgets(max(1, waiting), max(1, min(frames_bytes_max, waiting // slots)), max(1, inputs))
