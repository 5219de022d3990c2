"""What became of an attempt in its child, before any of it is stored or reported."""

from __future__ import annotations

import builtins
import errno
import re

import msgspec

from contract.bounds import mended

DETAIL_CHARACTERS_MAX = 64 * 1024
"""Of a longer text that a child sends of its failure, only the end is kept. run_model.py sends at most half as much."""

OTHER_ERROR = "OtherError"

ERROR_NAMES = frozenset(
    {name for name, thing in vars(builtins).items() if isinstance(thing, type) and issubclass(thing, BaseException)}
    | {"InvalidInputs", "BadValues", "GangTimeOut", "ScratchFull"}
    | {"OutOfMemoryError", "AcceleratorError", "LinAlgError", "SafetensorError"}
    | {"DistError", "DistBackendError", "DistNetworkError", "DistStoreError", "ProcessRaisedException"}
    | {"CalledProcessError", "JSONDecodeError", "TimeoutExpired", "UnidentifiedImageError"}
)
"""What a child may call an error: Python's own exceptions, run_model.py's, torch's, and some that many models meet. The
ledger keeps the name for ever, so no author, and no model that makes up classes, may choose a name."""

_CLASS_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,79}")


class Computed(msgspec.Struct, frozen=True):
    """`predict` returned."""

    values: msgspec.Raw
    outputs: tuple[str, ...]


class Failure(msgspec.Struct, frozen=True):
    """`predict` failed, or was never called."""

    kind: str
    """One of contract.inputs.FAILURE_KINDS."""
    error: str
    """An identifier: the exception's class name, or a phrase of ours."""
    detail: str = ""
    """For error.txt in the object store only, because the text may quote the user."""


ChildOutcome = Computed | Failure


def claimed(kind: str, error: str, detail: str) -> Failure:
    """A failure in the words of a child. Broken characters are replaced, and the text is cut."""
    return Failure(kind, error if error in ERROR_NAMES else OTHER_ERROR, mended(detail[-DETAIL_CHARACTERS_MAX:]))


def identifier(name: str) -> str:
    """The class name of an exception of our own process, which no user can choose. A name that is no identifier becomes
    OTHER_ERROR."""
    return name if _CLASS_NAME.fullmatch(name) else OTHER_ERROR


def of_rank(failure: Failure, rank: int, ranks: int) -> Failure:
    """The failure with its rank as the first line of its detail. A failure without detail stays as it is."""
    detail = f"rank {rank} of {ranks}\n{failure.detail}" if failure.detail else ""
    return Failure(failure.kind, failure.error, detail)


def disk_failure(error: OSError, otherwise: str) -> Failure:
    """What an OSError of our own file work means for the attempt. `otherwise`: the kind unless the disk is full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure("store", "ScratchFull")
    return Failure(otherwise, identifier(type(error).__name__))
