"""Who a node is, whatever it is called: a random number in its data directory, made at its first start.

Two machines with one name would take each other's place for ever, each with a new session, and lose each other's jobs.
The scheduler tells them apart by this number. A data directory that is copied to another machine takes the number with
it, so such a copy is not found out.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

FILE = "identity"


class IdentityTaken(Exception):
    """Another agent works with this identity, on this machine."""


_IDENTITY = re.compile(r"[0-9a-f]{32}")


def identity_in(folder: Path) -> str:
    """32 hex digits, the same at every start with this folder. OSError when they can be neither read nor written."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    found = _read(path)
    if found:
        return found
    made = secrets.token_hex(16)
    new = path.with_name(f"{FILE}.{made}")
    try:
        _write(new, made)
        if found is not None:  # if that stayed, every start would be another node
            log.warning("identity made anew: expected 32 hex digits in the file, found something else", file=str(path))
            new.replace(path)
        else:
            _link(new, path)
    finally:
        new.unlink(missing_ok=True)
    return _read(path) or made


def hold_identity(folder: Path) -> None:
    """Keep every other agent from working with this identity, until this process ends: the scheduler would take two for
    one that starts again and again. IdentityTaken, OSError."""
    fd = os.open(folder / FILE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise IdentityTaken(
            f"expected {folder / FILE} to be unused, found another node agent with that identity; stop that one, or"
            " give this one a node name of its own"
        ) from None


def _read(path: Path) -> str | None:
    """What the file says; empty when that is no identity; None when there is no file."""
    try:
        text = path.read_bytes().decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    return text if _IDENTITY.fullmatch(text) else ""


def _write(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def _link(new: Path, path: Path) -> None:
    """Give the file its name, unless another start was first: then its number stands."""
    try:
        path.hardlink_to(new)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        new.replace(path)
