"""Postgres engines for SQLAlchemy, by psycopg, directly or through a pooler.

A pooler may give each transaction another session of the server. So whatever outlives a transaction is not there in the
next one: prepared statements, settings, LISTEN, advisory locks of a session. Where a pooler stands between, nothing is
prepared, settings are those of a transaction, and whoever would listen asks again and again (see `is_pooled`).
"""

from __future__ import annotations

from typing import Any

import psycopg
import sqlalchemy.exc
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, text

from runtime.settings import Settings

CONNECT_TIMEOUT_S = 5

SILENCE_MS = 15_000
"""A server that vanished, and sends nothing any more, is given up after so long. Only for TCP: the kernel of this
machine answers for a server on a socket of this machine, be the server stopped or not."""

_OPTIONS: dict[str, Any] = {
    "pool_pre_ping": True,  # a restarted server costs one reconnect, not one error for each pooled connection
    "connect_args": {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives_idle": 5,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "tcp_user_timeout": SILENCE_MS,
    },
}
_POOLED = "headrace.pooled"

_READ_ONLY = "25006"
"""SQLSTATE of a write in a read-only transaction."""

_OF_THE_DATA = ("21", "22", "23", "54")
"""Classes of SQLSTATE that a value causes: too many rows, data exception, integrity constraint, program limit."""


class DatabaseSilent(Exception):
    """Postgres took the question and has not answered within the time that the asker has."""


class ReadOnly(Exception):
    """The database takes no writes."""


def is_of_the_data(error: psycopg.Error) -> bool:
    """Whether the database answered and refuses the values it was given: asking again changes nothing."""
    if isinstance(error, psycopg.DataError | psycopg.IntegrityError):
        return True
    return (error.sqlstate or "")[:2] in _OF_THE_DATA


def outage(error: BaseException) -> str:
    """The class name of an error that is an outage; empty: the error is no outage, and asking again changes nothing.

    Every error that is not about a value is an outage: the database is away, read-only, full, or closed to us, or its
    tables do not exist yet. The driver's own errors, which SQLAlchemy does not wrap everywhere, count alike."""
    if isinstance(error, sqlalchemy.exc.TimeoutError | sqlalchemy.exc.PendingRollbackError | DatabaseSilent | ReadOnly):
        return type(error).__name__
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        if error.connection_invalidated:
            return type(error).__name__
        return outage(error.orig) if error.orig is not None else ""
    if not isinstance(error, psycopg.Error):
        return ""
    if error.sqlstate is None:
        away = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    else:
        away = not is_of_the_data(error)
    return type(error).__name__ if away else ""


def engine(settings: Settings, *, statement_timeout_ms: int = 0, **options: Any) -> Engine:
    """A pool of connections to the database, which connects when first used. With a `statement_timeout_ms` Postgres
    ends a statement that takes longer."""
    made = create_engine(settings.database_url, **{**_OPTIONS, **options})

    def on_connect(driver: Any, record: Any) -> None:
        record.info[_POOLED] = pooled = is_pooled(driver)
        if pooled:
            driver.prepare_threshold = None
        elif statement_timeout_ms:
            driver.execute(f"SET statement_timeout = {statement_timeout_ms}")
            driver.commit()

    def on_begin(connection: Connection) -> None:
        if connection.info.get(_POOLED):
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {statement_timeout_ms}")

    event.listen(made, "connect", on_connect)
    event.listen(made, "handle_error", _end_read_only_sessions)
    if statement_timeout_ms:
        event.listen(made, "begin", on_begin)
    return made


def _end_read_only_sessions(failure: ExceptionContext) -> None:
    """A session keeps the defaults of its database as they were when it began (`ALTER DATABASE … SET
    default_transaction_read_only`). So a write that is refused ends every session of the pool: those that come after
    the end of the outage are made anew, and write."""
    if getattr(failure.original_exception, "sqlstate", None) == _READ_ONLY:
        failure.is_disconnect = True


def is_pooled(driver: psycopg.Connection[Any]) -> bool:
    """Whether a pooler stands between this connection and the server. The number of the session, which the server gives
    when a session begins, is then one that the pooler made up. Call outside of a transaction."""
    row = driver.execute("SELECT pg_backend_pid()").fetchone()
    if not driver.autocommit:
        driver.rollback()
    return row is None or row[0] != driver.info.backend_pid


def require_writable(connection: Connection) -> None:
    """ReadOnly when a write would be refused: the server is a standby, or its transactions are read-only. Then the
    session ends: it would stay read-only after the end of the outage."""
    if connection.execute(text("SELECT current_setting('transaction_read_only')")).scalar_one() == "on":
        connection.invalidate()
        raise ReadOnly
