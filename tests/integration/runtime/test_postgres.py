"""runtime.postgres against a real server."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import sqlalchemy
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from local.services import Services
from runtime import postgres

SESSIONS = 3
DEFAULT = "default_transaction_read_only"


def test_the_engine_reaches_the_server(services: Services) -> None:
    engine = postgres.engine(services.settings)
    with engine.connect() as connection:
        version = connection.execute(sqlalchemy.text("SHOW server_version_num")).scalar_one()
    engine.dispose()
    assert int(version) >= 180000


def test_sessions_that_began_in_a_read_only_database_do_not_outlive_it(services: Services) -> None:
    """Each keeps the default that its database had. One failed write ends them all."""
    by_hand(services, "CREATE DATABASE read_only_once")
    url = make_url(services.settings.database_url).set(database="read_only_once")
    here = services.settings.model_copy(update={"database_url": url.render_as_string(hide_password=False)})
    engine = postgres.engine(here, pool_size=SESSIONS)
    try:
        by_hand(services, f"ALTER DATABASE read_only_once SET {DEFAULT} = on")
        with ExitStack() as open_at_once:
            for _ in range(SESSIONS):
                open_at_once.enter_context(engine.connect())
        by_hand(services, f"ALTER DATABASE read_only_once RESET {DEFAULT}")
        with pytest.raises(sqlalchemy.exc.DBAPIError):
            write(engine)
        with ExitStack() as open_at_once:
            for _ in range(SESSIONS):
                connection = open_at_once.enter_context(engine.connect())
                postgres.require_writable(connection)
        write(engine)
    finally:
        engine.dispose()
        by_hand(services, "DROP DATABASE read_only_once")


def test_a_session_that_is_found_read_only_is_ended(services: Services) -> None:
    engine = postgres.engine(services.settings, pool_size=1, max_overflow=0)
    with engine.connect() as connection:
        connection.execute(text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
        connection.commit()
    with pytest.raises(postgres.ReadOnly), engine.connect() as connection:
        postgres.require_writable(connection)
    with engine.connect() as connection:
        postgres.require_writable(connection)
    engine.dispose()


def write(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS written (at integer)"))


def by_hand(services: Services, statement: str) -> None:
    """As an operator, in a session that is made for it."""
    operator = create_engine(services.settings.database_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with operator.connect() as connection:
        connection.execute(text(statement))
