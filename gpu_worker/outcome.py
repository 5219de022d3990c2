"""How an attempt came out of its child, before anything of it is stored or reported."""

from __future__ import annotations

import errno
import re

import msgspec

_CLASS_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,79}")


class Computed(msgspec.Struct, frozen=True):
    """`predict` returned."""

    values: msgspec.Raw
    outputs: tuple[str, ...]


class Failure(msgspec.Struct, frozen=True):
    """It did not, or never came so far."""

    kind: str
    """One of contract.inputs.FAILURE_KINDS."""
    error: str
    """An identifier: the exception's class name, or a phrase of ours."""
    detail: str = ""
    """For error.txt in the object store only: it may quote the user."""


Outcome = Computed | Failure


def identifier(name: str) -> str:
    """The name if it is one, else a fixed word: what a child calls its exception could quote the user."""
    return name if _CLASS_NAME.fullmatch(name) else "UnnamedError"


def of_rank(failure: Failure, rank: int, ranks: int) -> Failure:
    """The same, its detail, if it has one, headed by the rank that it befell."""
    detail = f"rank {rank} of {ranks}\n{failure.detail}" if failure.detail else ""
    return Failure(failure.kind, failure.error, detail)


def disk_failure(error: OSError, otherwise: str) -> Failure:
    """What an OSError of our own file work means for the attempt; `otherwise` is the kind when the disk is not full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure("store", "ScratchFull")
    return Failure(otherwise, identifier(type(error).__name__))
