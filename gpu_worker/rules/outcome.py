"""What became of an attempt in its child, before any of it is stored or reported."""

from __future__ import annotations

import errno

import msgspec

from contract.bounds import mended
from contract.error_names import error_name
from gpu_worker.rules.handed_media import HandedMedia

DETAIL_CHARACTERS_MAX = 64 * 1024
"""Of a longer text that a child sends of its failure, only the end is kept. run_model.py sends at most half as much."""


SCRATCH_FULL = "ScratchFull"
"""The error of an attempt that found the disk full. run_model.py says it too."""


class Computed(msgspec.Struct, frozen=True):
    """`predict` returned."""

    values: msgspec.Raw
    outputs: tuple[str, ...]
    media: tuple[HandedMedia, ...] = ()
    prints: str = ""
    """For _log.txt in the object store only: the last of what the model printed."""
    load_ms: int = 0
    """As in contract.inputs.Succeeded."""


class Failure(msgspec.Struct, frozen=True):
    """`predict` failed, or was never called."""

    kind: str
    """One of contract.inputs.FAILURE_KINDS."""
    error: str
    """A name of contract.error_names."""
    detail: str = ""
    """For error.txt in the object store only, because the text may quote the user."""
    prints: str = ""
    """For _log.txt, as `Computed.prints`."""


ChildOutcome = Computed | Failure


def claimed(kind: str, error: str, detail: str) -> Failure:
    """A failure in the words of a child. Broken characters are replaced, and the text is cut."""
    return Failure(kind, error_name(error), mended(detail[-DETAIL_CHARACTERS_MAX:]))


def of_rank(failure: Failure, rank: int, ranks: int) -> Failure:
    """The failure with its rank as the first line of its detail. A failure without detail stays as it is."""
    detail = f"rank {rank} of {ranks}\n{failure.detail}" if failure.detail else ""
    return Failure(failure.kind, failure.error, detail, failure.prints)


def disk_failure(error: OSError, otherwise: str) -> Failure:
    """What an OSError of our own file work means for the attempt. `otherwise`: the kind unless the disk is full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure("store", SCRATCH_FULL)
    return Failure(otherwise, error_name(type(error).__name__))
