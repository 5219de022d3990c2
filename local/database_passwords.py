"""Passwords of an installation's logins in Postgres: drawn once, in a file that its owner alone may read."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec
from sqlalchemy import make_url

from local import own_files
from runtime.database_logins import draw_password
from runtime.roles import DATABASE, OPERATOR, SETTINGS, Role
from runtime.settings import Settings

PROCESSES = tuple(role for role in Role if SETTINGS[role] & DATABASE and role != Role.INSTALL)
"""Roles whose processes ask the database, each by a login of its own, which has the role's name."""
LOGINS: Mapping[str, str] = {role.value: role.value for role in PROCESSES} | {OPERATOR: OPERATOR}
"""Of an installation that makes its logins by itself: role by login. The owner of the tables has another login yet."""


class DatabasePasswords:
    """The file, which is made when somebody first asks for a password. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def of(self, login: str) -> str:
        """This login's password. own_files.FileDamaged."""
        with self._lock:
            known = own_files.read(self._path, dict[str, str]) if self._path.exists() else {}
            if login not in known:
                known[login] = draw_password()
                self._path.parent.mkdir(parents=True, exist_ok=True)
                own_files.replace(self._path, msgspec.json.format(msgspec.json.encode(known)), mode=0o600)
            return known[login]


FILE = "database-passwords.json"
DATABASE_URL_FILE = "database_url"
"""How a process reads its DATABASE_URL through HEADRACE_SECRETS."""


def write_secrets(folder: Path, settings: Settings) -> dict[str, str]:
    """For a composition of containers: in the folder of each process that asks the database, the address with its own
    login. Returns the passwords by login, which the database must be given."""
    passwords = DatabasePasswords(folder / FILE)
    for role in PROCESSES:
        url = make_url(settings.database_url).set(username=role, password=passwords.of(role))
        own = folder / role
        own.mkdir(parents=True, exist_ok=True, mode=0o700)
        own_files.replace(own / DATABASE_URL_FILE, url.render_as_string(hide_password=False).encode(), mode=0o600)
    return {login: passwords.of(login) for login in LOGINS}
