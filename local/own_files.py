"""The files that a stack keeps in its data directory: written in one step, and read by one function.

A disk that filled up, or a machine that lost its power, may leave half a file. Whoever reads such a file says so in a
sentence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec

from contract.bounds import visible
from local.errors import CannotStart

T = TypeVar("T")

SAID_CHARACTERS_MAX = 120


class FileDamaged(CannotStart):
    """A file of the data directory is not what the stack wrote there."""


def read(path: Path, kind: type[T]) -> T:
    """What the file holds. FileNotFoundError; FileDamaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
        raise damaged(path, visible(str(error))[:SAID_CHARACTERS_MAX]) from None


def damaged(path: Path, found: str) -> FileDamaged:
    return FileDamaged(
        f"{path} as the stack wrote it",
        f"another file ({found})",
        "Restore the file from a backup; of settings.json, keys.json, kafka-users.json and status.json `headrace up`"
        " makes new ones when they are moved away",
    )


def appended(path: Path) -> BinaryIO:
    """A file of ours, open for its end; made for its owner alone."""
    return open(path, "ab", opener=lambda name, flags: os.open(name, flags, 0o600))


def replace(path: Path, data: bytes, mode: int = 0o600, *, durable: bool = True) -> None:
    """Write a file in one step: a reader sees the old bytes or the new ones; if `durable`, even after power was
    lost."""
    scratch = path.with_name(path.name + ".new")
    scratch.unlink(missing_ok=True)
    scratch.touch(mode=mode)
    with scratch.open("wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    scratch.replace(path)
