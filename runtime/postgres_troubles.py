"""What is wrong with Postgres, in a sentence: the one place that translates errors of SQLAlchemy and of psycopg.

A sentence says what was expected, what was found and what to do. The sentence quotes neither statements nor values,
which may hold a user's words, nor the server's own text, which may quote both.
"""

from __future__ import annotations

from typing import NamedTuple

import psycopg
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from runtime.postgres import DatabaseSilent, ReadOnly, outage

DATABASE_ERRORS = (SQLAlchemyError, psycopg.Error, DatabaseSilent, ReadOnly)
"""Whatever a call to Postgres may raise. The driver's own errors come out of its cursor, which we use where a statement
must travel in a pipeline."""


class PostgresTrouble(NamedTuple):
    found: str
    todo: str


READ_ONLY = PostgresTrouble(
    "it read-only",
    "name the primary in DATABASE_URL if this is a standby, else make it writable again"
    " (default_transaction_read_only = off)",
)
_NO_ANSWER = PostgresTrouble("no answer", "see `headrace status`, start Postgres, or set DATABASE_URL")
_AGAIN = "do the same again: nothing was changed"
_REFUSED_US = PostgresTrouble("the user or the password refused", "correct them in DATABASE_URL, or see pg_hba.conf")
_NO_DATABASE = PostgresTrouble("no database of that name", "create it, or name another one in DATABASE_URL")
_FULL_OF_US = PostgresTrouble("no connection free", "raise max_connections, or end what holds connections")
_STARTING = PostgresTrouble("it starting or stopping", "wait a moment and do the same again")
_NO_HOST = PostgresTrouble("a host name that nobody knows", "correct the host in DATABASE_URL")
_PROTOCOL = PostgresTrouble(
    "a pooler that refuses our connection", "name Postgres itself in DATABASE_URL, or see the pooler's log"
)

_BY_STATE = {
    "25006": READ_ONLY,
    "57014": PostgresTrouble("an answer that took too long", "do the same again, and see what else Postgres does"),
    "57P": _STARTING,
    "53300": _FULL_OF_US,
    "53100": PostgresTrouble("its disk full", "make room on the disk of Postgres"),
    "53": PostgresTrouble("it short of memory or disk", "make room where Postgres runs"),
    "58": PostgresTrouble("its disk broken or full", "see the log of Postgres"),
    "28": _REFUSED_US,
    "3D000": _NO_DATABASE,
    "42P01": PostgresTrouble("tables of this release missing", "migrate the database: `headrace up` does so"),
    "3F000": PostgresTrouble("tables of this release missing", "migrate the database: `headrace up` does so"),
    "42703": PostgresTrouble("tables of another release", "migrate the database: `headrace up` does so"),
    "42501": PostgresTrouble("a user who may not do this", "name a user with more rights in DATABASE_URL"),
    "40": PostgresTrouble("another transaction in the way", _AGAIN),
    "55P03": PostgresTrouble("another transaction in the way", _AGAIN),
    "26000": PostgresTrouble("a pooler that mixes sessions up", "name Postgres itself in DATABASE_URL"),
    "42P05": PostgresTrouble("a pooler that mixes sessions up", "name Postgres itself in DATABASE_URL"),
    "08P01": _PROTOCOL,
    "08": _NO_ANSWER,
}
"""By SQLSTATE, or its first characters: the longest that fits counts."""

_BY_WORDS = (
    ("translate host name", _NO_HOST),
    ("resolve host", _NO_HOST),
    ("authentication failed", _REFUSED_US),
    ("no pg_hba.conf entry", _REFUSED_US),
    ("no password supplied", _REFUSED_US),
    ('FATAL:  role "', _REFUSED_US),
    ("too many c", _FULL_OF_US),
    ("remaining connection slots", _FULL_OF_US),
    ("no more connections allowed", _FULL_OF_US),
    ("starting up", _STARTING),
    ("shutting down", _STARTING),
    ("unsupported startup parameter", _PROTOCOL),
    ("bouncer", _PROTOCOL),
    ('FATAL:  database "', _NO_DATABASE),
)
"""Words of a refused connection, which libpq gives without a SQLSTATE. No word fits: nobody answered."""


def trouble_of(error: BaseException) -> PostgresTrouble:
    """What was found and what to do, for one of DATABASE_ERRORS."""
    if isinstance(error, ArgumentError):
        return PostgresTrouble("a DATABASE_URL that is none", "write it as postgresql://USER@HOST:PORT/DATABASE")
    if isinstance(error, ReadOnly):
        return READ_ONLY
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    state = (cause.sqlstate if isinstance(cause, psycopg.Error) else None) or ""
    for length in range(len(state), 1, -1):
        if state[:length] in _BY_STATE:
            return _BY_STATE[state[:length]]
    if not outage(error):
        kind = f"{type(cause).__name__} {state}".strip()
        return PostgresTrouble(f"it refusing what we asked ({kind})", "report it: the defect is ours")
    said = str(cause) if isinstance(cause, psycopg.OperationalError) else ""
    return next((trouble for words, trouble in _BY_WORDS if words in said), _NO_ANSWER)


def in_a_sentence(error: BaseException) -> str:
    """One of DATABASE_ERRORS as people read it, without a full stop."""
    found, todo = trouble_of(error)
    return f"expected Postgres to do its work, found {found}; {todo}"
