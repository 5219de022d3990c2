"""A database of a test's own on the server that all share, with every table and no row."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import psycopg
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

import migrations
from runtime import database_logins
from runtime.settings import Settings

PASSWORD = "drawn-for-tests"
"""Of the logins of roles."""


@contextmanager
def own_database(settings: Settings, prefix: str) -> Iterator[Settings]:
    """The settings with that database. The database is dropped at the end, even if somebody still uses it."""
    name = f"{prefix}_{uuid.uuid4().hex[:12]}"
    _execute(settings.database_url, f"CREATE DATABASE {name} TEMPLATE {_migrated(settings.database_url)}")
    try:
        yield settings.model_copy(update={"database_url": _url_of(settings.database_url, name)})
    finally:
        _execute(settings.database_url, f"DROP DATABASE {name} WITH (FORCE)")


@cache
def _migrated(server_url: str) -> str:
    """A database from which others are copied: a copy takes a tenth of the time that the migrations take."""
    name = f"migrated_{uuid.uuid4().hex[:12]}"
    _execute(server_url, f"CREATE DATABASE {name}")
    migrations.upgrade(_url_of(server_url, name))
    return name


def logged_in(settings: Settings, role: str) -> Settings:
    """The settings with a login of this role, whose name it has, in a database that the role has its rights in."""
    owner = make_url(settings.database_url)
    url = owner.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        assert database_logins.grant_all(connection)
        database_logins.make_login(connection, role, role, PASSWORD)
    own = owner.set(username=role, password=PASSWORD).render_as_string(hide_password=False)
    return settings.model_copy(update={"database_url": own})


def _url_of(server_url: str, database: str) -> str:
    return make_url(server_url).set(database=database).render_as_string(hide_password=False)


def _execute(server_url: str, statement: str) -> None:
    engine = create_engine(server_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
