"""A server of ours lets nobody in without a password, and its owner has the one that we drew.

New data gets both from `initdb`. Data of an older release lets in whoever reaches the socket, which is its owner's
alone (0700): it does so once more, and is shut as soon as the server answers.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import psycopg
from psycopg import sql

from local import own_files
from runtime.database_logins import password_hash

_SHUT, _OPEN = "local all all scram-sha-256\n", "local all all trust\n"
_MARK = "headrace-owner-password"
"""A file in the data: the sha256 of the password that the owner has. It is written when the server is shut."""

User = tuple[int, int] | None
"""Whose the files of the data are, as (uid, gid), when they are not ours."""


def is_shut(data: Path, password: str) -> bool:
    """Nobody gets in without a password, and the owner's is this one."""
    mark = data / _MARK
    return mark.exists() and mark.read_text() == _digest(password)


def mark_shut(data: Path, password: str, user: User) -> None:
    """Before a server starts, and after its owner got the password."""
    _write(data / "pg_hba.conf", _SHUT, user)
    _write(data / _MARK, _digest(password), user)


def let_in_once(data: Path, user: User) -> None:
    """Before a server starts that `shut` is to shut."""
    _write(data / "pg_hba.conf", _OPEN, user)


def shut(connection: psycopg.Connection, data: Path, password: str, user: User) -> None:
    """Gives the owner, who has this connection, the password, and lets nobody in without one from now on."""
    owner, hashed = connection.info.user, password_hash(connection, connection.info.user, password)
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(owner), sql.Literal(hashed)))
    connection.commit()
    mark_shut(data, password, user)
    connection.execute("SELECT pg_reload_conf()")


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def _write(file: Path, text: str, user: User) -> None:
    own_files.replace(file, text.encode(), mode=0o600)
    if user is not None:
        os.chown(file, *user)
