"""What each role may do in the database: one table, from which the grants of Postgres are made.

A process that is broken into, or a person with the login of an author, can then do no more there than its role. Each
role is a role of Postgres without a login (`headrace_author`); the logins of processes and people are its members. The
owner of the tables, who makes and changes them, is no role of this table: `headrace up` and `local.install` are that.

The grants stand for privileges. Which rows an author may write, and what follows from them, triggers say (revision 10
of the migrations): no grant could.
"""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import sql

from runtime.roles import AUTHOR, OPERATOR, Role

PREFIX = "headrace_"
"""What the names of our roles of Postgres begin with. One server has one set of them, for all its databases."""
SCHEMAS = ("registry", "views")

_READ = ("SELECT",)
_VIEWS = (
    "attempts",
    "aliases",
    "clusters",
    "counters",
    "job_copies",
    "job_counts",
    "job_events",
    "jobs",
    "ledger_positions",
    "nodes",
    "policies",
    "receipts",
    "versions",
    "withdrawals",
)
Table = dict[str, tuple[str, ...]]

_READ_VIEWS: Table = {f"views.{name}": _READ for name in _VIEWS}
_READ_VERSIONS: Table = {
    "registry.aliases": _READ,
    "registry.models": _READ,
    "registry.outbox": _READ,
    "registry.pools": _READ,
    "registry.versions": _READ,
    "views.withdrawals": _READ,
}
"""What a model reference means."""
_PUBLISH: Table = _READ_VERSIONS | {
    "registry.models": (*_READ, "INSERT (name, pool, bound_by)"),
    "registry.versions": (*_READ, "INSERT (digest, model, manifest, published_by)"),
    "registry.alias_moves": (*_READ, "INSERT (model, alias, move, version, previous, is_rollback, moved_by, why)"),
    "views.publishing_rules": _READ,
}
_REMOVE = (*_READ, "DELETE")
_NOT_ASKED_BY_THE_API = ("views.aliases", "views.job_copies", "views.versions")

RIGHTS: Mapping[str, Table] = {
    Role.INTAKE: _READ_VERSIONS
    | {
        "registry.audience_changes": _READ,
        "registry.uploads": (*_READ, "UPDATE (expires_at)"),
        "views.jobs": _READ,
        "views.policies": _READ,
    },
    Role.PROJECTOR: {f"views.{name}": (*_READ, "INSERT", "UPDATE", "DELETE") for name in _VIEWS},
    Role.RELAY: {
        "registry.alias_moves": _READ,
        "registry.models": _READ,
        "registry.outbox": (*_READ, "UPDATE (published_at)"),
        "registry.pools": _READ,
        "registry.versions": _READ,
    },
    Role.API: _READ_VERSIONS
    | {
        **{name: _READ_VIEWS[name] for name in _READ_VIEWS if name not in _NOT_ASKED_BY_THE_API},
        "registry.audience_changes": _READ,
        "registry.keys": _READ,
        "registry.uploads": (
            *_READ,
            "INSERT",
            "UPDATE (state, sha256, part_bytes, parts, reason, expires_at, ended_at, emptied)",
            "DELETE",
        ),
        "views.jobs": (*_READ, "INSERT"),
        "views.receipts": (*_READ, "INSERT", "UPDATE"),
    },
    AUTHOR: _PUBLISH,
    OPERATOR: _READ_VIEWS
    | _PUBLISH
    | {
        "registry.audience_changes": (*_READ, "INSERT"),
        "registry.keys": (*_READ, "INSERT", "UPDATE (revoked_at)"),
        "registry.owners": (*_READ, "INSERT"),
        # a right to change is what its lock of the table needs; a trigger refuses each change
        "registry.pools": (*_READ, "INSERT", "UPDATE"),
        "views.attempts": _REMOVE,
        "views.job_copies": _REMOVE,
        "views.job_counts": (*_READ, "UPDATE (jobs)"),
        "views.job_events": _REMOVE,
        "views.jobs": _REMOVE,
        "views.receipts": _REMOVE,
    },
}
"""By role: the privileges on each table, as GRANT reads them. A role that is not named asks no database, or owns it."""


LOCKS = tuple(
    f"pg_catalog.pg_{attempt}advisory_{scope}lock{shared}({numbers})"
    for attempt in ("", "try_")
    for scope in ("", "xact_")
    for shared in ("", "_shared")
    for numbers in ("bigint", "integer, integer")
)
"""Functions that take a lock by its number, which Postgres lets every login take: an author could hold up the relay, or
a projector."""
TAKE_LOCKS = (Role.PROJECTOR, Role.RELAY, OPERATOR)


def group_of(role: str) -> str:
    """The role of Postgres whose members may do what this role may."""
    return PREFIX + role


def grants_of(role: str) -> tuple[sql.Composed, ...]:
    """The statements that give this role its rights in a database, and take all others there. They can be repeated.
    KeyError for a role that asks no database. The role of Postgres exists (`create_group`)."""
    group = sql.Identifier(group_of(role))
    rights = RIGHTS[role]
    schemas = sql.SQL(", ").join(map(sql.Identifier, SCHEMAS))
    statements = [
        sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA {} FROM {}").format(schemas, group),
        sql.SQL("REVOKE ALL ON SCHEMA {} FROM {}").format(schemas, group),
        sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(
            sql.SQL(", ").join(sql.Identifier(schema) for schema in SCHEMAS if _is_used(schema, rights)), group
        ),
    ]
    for table, privileges in sorted(rights.items()):
        said = sql.SQL(", ".join(privileges))
        where = sql.Identifier(*table.split("."))
        statements.append(sql.SQL("GRANT {} ON {} TO {}").format(said, where, group))
    if role in TAKE_LOCKS:
        statements.append(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(sql.SQL(", ".join(LOCKS)), group))
    return tuple(statements)


def create_group(role: str) -> sql.Composed:
    return sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(group_of(role)))


def close_to_all(database: str) -> tuple[sql.SQL | sql.Composed, ...]:
    """The statements that take away what every login has in a database. With temporary tables a login could fill the
    disk, and hang functions of others on tables of its own."""
    return (
        sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)),
        sql.SQL("REVOKE CREATE ON SCHEMA public FROM PUBLIC"),
        sql.SQL("REVOKE EXECUTE ON FUNCTION {} FROM PUBLIC").format(sql.SQL(", ".join(LOCKS))),
    )


def _is_used(schema: str, rights: Table) -> bool:
    return any(table.startswith(f"{schema}.") for table in rights)
