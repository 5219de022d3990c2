"""Logins of the database: made members of a role, and asked what they may do."""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

from psycopg import Connection, errors, sql

from runtime.database_rights import (
    RIGHTS,
    SCHEMAS,
    TAKE_LOCKS,
    close_to_all,
    create_group,
    grants_of,
    group_of,
)
from runtime.roles import AUTHOR

AUTHOR_CONNECTIONS_MAX = 10
"""Of one login at once. A person publishes with two or three."""


_OWNS_THE_TABLES = """
SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'registry.models'::regclass
"""


def draw_password() -> str:
    return secrets.token_urlsafe(32)


def password_hash(connection: Connection[Any], login: str, password: str) -> str:
    """What the server keeps of a password, and all that it is told of one."""
    return connection.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256").decode()


def grant_all(connection: Connection[Any]) -> bool:
    """Gives every role its rights in this database; False when this login may make no roles, or does not own the
    tables: then Postgres would warn, and grant nothing. Each statement of `connection` commits by itself."""
    if connection.execute(_OWNS_THE_TABLES).fetchone() != (True,):
        return False
    try:
        for role in RIGHTS:
            _create(connection, role)
        with connection.transaction():
            for statement in close_to_all(connection.info.dbname):
                connection.execute(statement)
            for role in RIGHTS:
                for statement in grants_of(role):
                    connection.execute(statement)
    except errors.InsufficientPrivilege:
        return False
    return True


def make_login(connection: Connection[Any], login: str, role: str, password: str) -> None:
    """Makes the login a member of the role, and of no other of ours, with this password. A login that is there gets the
    password. The server, and its log, see the password's hash only."""
    name = sql.Identifier(login)
    hashed = password_hash(connection, login, password)
    connections = AUTHOR_CONNECTIONS_MAX if role == AUTHOR else -1
    with connection.transaction():
        verb = "ALTER" if _is_there(connection, login) else "CREATE"
        connection.execute(
            sql.SQL("{} ROLE {} LOGIN PASSWORD {} CONNECTION LIMIT {}").format(
                sql.SQL(verb), name, sql.Literal(hashed), sql.Literal(connections)
            )
        )
        for other in RIGHTS:
            group = sql.Identifier(group_of(other))
            if other == role:
                connection.execute(sql.SQL("GRANT {} TO {}").format(group, name))
            elif verb == "ALTER":
                connection.execute(sql.SQL("REVOKE {} FROM {}").format(group, name))


def _create(connection: Connection[Any], role: str) -> None:
    if not _is_there(connection, group_of(role)):
        try:
            connection.execute(create_group(role))
        except (errors.DuplicateObject, errors.UniqueViolation):  # whoever installs another database was quicker
            return


def _is_there(connection: Connection[Any], name: str) -> bool:
    return connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,)).fetchone() is not None


class RightHeld(NamedTuple):
    """What Postgres says of one privilege of a login."""

    place: str
    right: str
    expected: bool
    found: bool

    @property
    def good(self) -> bool:
        return self.found == self.expected


_HELD = """
SELECT n.nspname || '.' || c.relname, p.name, CASE WHEN p.name IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
       THEN has_any_column_privilege(c.oid, p.name) ELSE has_table_privilege(c.oid, p.name) END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p(name)
WHERE c.relkind IN ('r', 'v', 'm', 'p') AND (n.nspname = ANY(%s) OR c.relname = 'headrace_revision') ORDER BY 1, 2
"""
_POWERS = (
    ("the server", "everything", "(SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"),
    ("the server", "make roles", "(SELECT rolcreaterole FROM pg_roles WHERE rolname = current_user)"),
    ("the server", "make databases", "(SELECT rolcreatedb FROM pg_roles WHERE rolname = current_user)"),
    ("the server", "replicate", "(SELECT rolreplication FROM pg_roles WHERE rolname = current_user)"),
    ("the server", "run programs", "pg_has_role('pg_execute_server_program', 'USAGE')"),
    ("the server", "read its files", "pg_has_role('pg_read_server_files', 'USAGE')"),
    ("the server", "write its files", "pg_has_role('pg_write_server_files', 'USAGE')"),
    ("every table", "pass over policies", "(SELECT rolbypassrls FROM pg_roles WHERE rolname = current_user)"),
    ("the database", "make temporary tables", "has_database_privilege(current_database(), 'TEMPORARY')"),
    ("the database", "make schemas", "has_database_privilege(current_database(), 'CREATE')"),
    ("schema public", "make tables", "has_schema_privilege('public', 'CREATE')"),
)
_LOCK_RIGHT = "SELECT has_function_privilege('pg_advisory_lock(bigint)', 'EXECUTE')"
"""What no role of ours has: where, what, and how Postgres is asked for it."""


def rights_held(connection: Connection[Any], role: str) -> list[RightHeld]:
    """What the login of this connection may do beside what its role may do, as Postgres says it. KeyError for a role
    that asks no database."""
    rights = RIGHTS[role]
    held = []
    for place, right, asked in _POWERS:
        (found,) = connection.execute(sql.SQL("SELECT ") + sql.SQL(asked)).fetchone() or (False,)
        held.append(RightHeld(place, right, False, found))
    (found,) = connection.execute(_LOCK_RIGHT).fetchone() or (False,)
    held.append(RightHeld("the database", "take locks by number", role in TAKE_LOCKS, found))
    for table, right, found in connection.execute(_HELD, (list(SCHEMAS),)):
        may = {privilege.partition(" ")[0] for privilege in rights.get(table, ())}
        held.append(RightHeld(table, right, right in may, found))
    return held
