"""The inputs of an attempt, as its child may get them.

Inputs are decoded before they go to a child, as at every other door (contract.codec.decode_values). A payload that an
older release took and that no part can hold fails its job once, with a sentence.
"""

from __future__ import annotations

import msgspec

from contract.codec import Malformed, decode_values
from gpu_worker.rules.outcome import Failure
from runtime.worker.frames import FRAME_BYTES_MAX

INPUTS_BYTES_MAX = FRAME_BYTES_MAX - 64 * 1024
"""The most that goes to a child: a frame holds the inputs and what else a child must know of an attempt."""

CHECKED_AT_ONCE_BYTES_MAX = 16 * 1024
"""Inputs up to this size are decoded in the caller's thread, which takes about a millisecond at most."""


def refusal_of(inputs: msgspec.Raw) -> Failure | None:
    """Why a child cannot be given these inputs; None when it can."""
    raw = bytes(inputs)
    sentence = f"inputs: expected at most {INPUTS_BYTES_MAX} bytes, found {len(raw)}"
    if len(raw) <= INPUTS_BYTES_MAX:
        try:
            decode_values(raw, "inputs")
            return None
        except Malformed as error:
            sentence = str(error)
    return Failure("bad_inputs", "InputsUnreadable", f"{sentence}\n")


def are_fine_at_once(inputs: msgspec.Raw) -> bool:
    """Whether a child can be given these inputs, and they are so small that the answer takes no time worth a thread."""
    return len(bytes(inputs)) <= CHECKED_AT_ONCE_BYTES_MAX and refusal_of(inputs) is None
