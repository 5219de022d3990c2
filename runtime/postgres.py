"""Postgres engines for SQLAlchemy, by psycopg."""

from __future__ import annotations

from typing import Any

import psycopg
import sqlalchemy.exc
from sqlalchemy import Engine, create_engine

from runtime.settings import Settings

CONNECT_TIMEOUT_S = 5

_OPTIONS: dict[str, Any] = {
    "pool_pre_ping": True,  # a restarted server costs one reconnect, not one error for each pooled connection
    "connect_args": {"connect_timeout": CONNECT_TIMEOUT_S},
}

_OF_THE_DATA = ("21", "22", "23", "54")
"""Classes of SQLSTATE that a value causes: too many rows, data exception, integrity constraint, program limit."""


def is_of_the_data(error: psycopg.Error) -> bool:
    """Whether the database answered and refuses the values it was given: asking again changes nothing."""
    if isinstance(error, psycopg.DataError | psycopg.IntegrityError):
        return True
    return (error.sqlstate or "")[:2] in _OF_THE_DATA


def outage(error: BaseException) -> str:
    """The class name of an error that is an outage; empty: the error is no outage, and asking again changes nothing.

    Every error that is not about a value is an outage: the database is away, read-only, full, or closed to us, or its
    tables do not exist yet. The driver's own errors, which SQLAlchemy does not wrap everywhere, count alike."""
    if isinstance(error, sqlalchemy.exc.TimeoutError | sqlalchemy.exc.PendingRollbackError):
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


def engine(settings: Settings, **options: Any) -> Engine:
    """A pool of connections to the database, which connects when first used."""
    return create_engine(settings.database_url, **{**_OPTIONS, **options})
