"""Logins of roles in a test's own database. The server has one set of them, so each has a name of its own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Engine, make_url

from runtime import database_logins, postgres
from runtime.settings import Settings

PASSWORD = "drawn-for-a-test"


@contextmanager
def owners_connection(settings: Settings) -> Iterator[psycopg.Connection]:
    url = make_url(settings.database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@contextmanager
def logins_of(settings: Settings) -> Iterator[Callable[..., Engine]]:
    """Every role has its rights in this database; what this gives makes an engine of a new login of a role. The name of
    the login is `login`, or made up."""
    engines: list[Engine] = []
    made: list[str] = []

    def login_of(role: str, login: str = "") -> Engine:
        login = login or f"{role}_{uuid.uuid4().hex[:8]}"
        with owners_connection(settings) as connection:
            database_logins.make_login(connection, login, role, PASSWORD)
        made.append(login)
        url = make_url(settings.database_url).set(username=login, password=PASSWORD)
        shown = url.render_as_string(hide_password=False)
        engines.append(postgres.engine(settings.model_copy(update={"database_url": shown}), pool_size=2))
        return engines[-1]

    with owners_connection(settings) as connection:
        assert database_logins.grant_all(connection)
    try:
        yield login_of
    finally:
        for engine in engines:
            engine.dispose()
        with owners_connection(settings) as connection:
            for login in made:
                connection.execute(f'DROP ROLE "{login}"')
