"""Every error of the database is a sentence: expected, found, do. None quotes a statement or a value."""

from __future__ import annotations

import psycopg
import psycopg.errors
import pytest
import sqlalchemy.exc
from sqlalchemy import make_url

from runtime.postgres import DatabaseSilent, ReadOnly
from runtime.postgres_troubles import DATABASE_ERRORS, in_a_sentence, trouble_of

STATEMENT = "INSERT INTO words VALUES ('a violet walrus')"

REFUSED = 'connection failed: connection to server at "10.0.0.1", port 5432 failed: '


def wrapped(error: Exception) -> sqlalchemy.exc.DBAPIError:
    """As SQLAlchemy raises it."""
    return sqlalchemy.exc.DBAPIError(STATEMENT, {"words": "a violet walrus"}, error)


ALL = sorted(
    {
        kind
        for kind in vars(psycopg.errors).values()
        if isinstance(kind, type) and issubclass(kind, psycopg.Error) and kind.sqlstate is not None
    },
    key=lambda kind: str(kind.sqlstate),
)


def test_every_state_of_postgres_has_a_sentence_with_and_without_sqlalchemy() -> None:
    assert len(ALL) > 200
    for kind in ALL:
        for error in (kind("a violet walrus"), wrapped(kind("a violet walrus"))):
            said = in_a_sentence(error)
            assert said.startswith("expected Postgres to do its work, found "), kind
            assert "; " in said
            assert "walrus" not in said
            assert isinstance(error, DATABASE_ERRORS)


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (psycopg.errors.ReadOnlySqlTransaction(), "it read-only"),
        (ReadOnly(), "it read-only"),
        (DatabaseSilent(), "no answer"),
        (psycopg.errors.AdminShutdown(), "it starting or stopping"),
        (psycopg.errors.CannotConnectNow(), "it starting or stopping"),
        (psycopg.errors.TooManyConnections(), "no connection free"),
        (psycopg.errors.DiskFull(), "its disk full"),
        (psycopg.errors.QueryCanceled(), "an answer that took too long"),
        (psycopg.errors.DeadlockDetected(), "another transaction in the way"),
        (psycopg.errors.SerializationFailure(), "another transaction in the way"),
        (psycopg.errors.UndefinedTable(), "tables of this release missing"),
        (psycopg.errors.InvalidSqlStatementName(), "a pooler that mixes sessions up"),
        (psycopg.errors.InvalidPassword(), "the user or the password refused"),
        (psycopg.OperationalError("server closed the connection unexpectedly"), "no answer"),
        (psycopg.InterfaceError("the connection is closed"), "no answer"),
        (sqlalchemy.exc.TimeoutError(), "no answer"),
        (psycopg.OperationalError(REFUSED + "Connection refused"), "no answer"),
        (psycopg.OperationalError("failed to resolve host 'db'"), "a host name that nobody knows"),
        (psycopg.OperationalError(REFUSED + 'FATAL:  role "ann" does not exist'), "the user or the password refused"),
        (psycopg.OperationalError(REFUSED + 'FATAL:  database "x" does not exist'), "no database of that name"),
        (psycopg.OperationalError(REFUSED + "FATAL:  sorry, too many clients already"), "no connection free"),
        (psycopg.OperationalError(REFUSED + "FATAL:  the database system is starting up"), "it starting or stopping"),
        (
            psycopg.OperationalError(REFUSED + "FATAL:  unsupported startup parameter: options"),
            "a pooler that refuses our connection",
        ),
        (psycopg.errors.NotNullViolation(), "it refusing what we asked (NotNullViolation 23502)"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_was_found_is_said_and_what_helps(error: Exception, found: str) -> None:
    assert trouble_of(error).found == found
    if isinstance(error, psycopg.Error):
        assert trouble_of(wrapped(error)).found == found


def test_an_url_that_is_none_is_said_without_the_password_in_it() -> None:
    with pytest.raises(DATABASE_ERRORS) as raised:
        make_url("ann:walrus@db")
    assert in_a_sentence(raised.value).endswith("write it as postgresql://USER@HOST:PORT/DATABASE")
