"""A database of a test's own on the server that all share, with every table and no row."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

import migrations
from runtime.settings import Settings


@contextmanager
def own_database(settings: Settings, prefix: str) -> Iterator[Settings]:
    """The settings with that database, which is dropped at the end, whoever still uses it."""
    name = f"{prefix}_{uuid.uuid4().hex[:12]}"
    url = make_url(settings.database_url)
    admin = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    own = url.set(database=name).render_as_string(hide_password=False)
    migrations.upgrade(own)
    yield settings.model_copy(update={"database_url": own})
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()
