"""The SQL of the projection, made from the row types, so that both have the same columns.

Rows travel as one JSON array (`json_to_recordset`): one parameter, parsed once in Postgres, without quoting in Python.
"""

from __future__ import annotations

import msgspec

from views import rows
from views.columns import columns_of


def _columns(row: type[msgspec.Struct]) -> dict[str, str]:
    """Column name (quoted) to SQL type."""
    return {f'"{column.name}"': column.sql for column in columns_of(row)}


def _names(row: type[msgspec.Struct]) -> str:
    return ", ".join(_columns(row))


def _from_json(columns: dict[str, str]) -> str:
    typed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return f"json_to_recordset(%s) AS given({typed})"


def _add(table: str, row: type[msgspec.Struct]) -> str:
    return f"INSERT INTO views.{table} ({_names(row)}) SELECT {_names(row)} FROM {_from_json(_columns(row))}"


def _put(table: str, row: type[msgspec.Struct], *key: str) -> str:
    """Inserts rows, or replaces all columns but the key."""
    changed = ", ".join(f"{c} = excluded.{c}" for c in _columns(row) if c.strip('"') not in key)
    return f"{_add(table, row)} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changed}"


POSITION = 'SELECT "offset", hash, seq, epoch FROM views.ledger_positions WHERE pool = :pool'
LOCK = "SELECT set_config('synchronous_commit', 'off', true), pg_advisory_xact_lock(hashtext('views ' || :pool))"
MOVE_POSITION = """
INSERT INTO views.ledger_positions AS p
    (pool, "offset", hash, seq, epoch, at_ms, now_ms, position, session, release, rules, held, held_by, signed_from)
VALUES (%(pool)s, %(offset)s, %(hash)s, %(seq)s, %(epoch)s, %(at_ms)s, %(now_ms)s, %(position)s,
    coalesce(%(session)s::text, ''), coalesce(%(release)s::text, ''), coalesce(%(rules)s::integer, 0),
    coalesce(%(held)s::boolean, false), %(held_by)s, coalesce(%(signed_from)s::bigint, -1))
ON CONFLICT (pool) DO UPDATE SET "offset" = excluded."offset", hash = excluded.hash, seq = excluded.seq,
    epoch = excluded.epoch, at_ms = excluded.at_ms, now_ms = excluded.now_ms, position = excluded.position,
    session = coalesce(%(session)s::text, p.session), release = coalesce(%(release)s::text, p.release),
    rules = coalesce(%(rules)s::integer, p.rules), held = coalesce(%(held)s::boolean, p.held),
    held_by = CASE WHEN %(held)s::boolean IS NULL THEN p.held_by ELSE excluded.held_by END,
    signed_from = coalesce(%(signed_from)s::bigint, p.signed_from)
"""

JOBS_WANTED = f"SELECT {_names(rows.JobRow)} FROM views.jobs WHERE job = ANY(%s)"
OPEN_ATTEMPTS_WANTED = (
    f"SELECT {_names(rows.AttemptRow)} FROM views.attempts WHERE job = ANY(%s) AND state IN ('staged', 'running')"
)
NODES_WANTED = f"SELECT {_names(rows.NodeRow)} FROM views.nodes WHERE pool = %s AND node = ANY(%s)"
CLUSTERS_OF = f"SELECT {_names(rows.ClusterRow)} FROM views.clusters WHERE pool = %s"

PUT_JOBS = _put("jobs", rows.JobRow, "job")
PUT_ATTEMPTS = _put("attempts", rows.AttemptRow, "job", "attempt")
ADD_JOB_EVENTS = _add("job_events", rows.JobEventRow)
ADD_JOB_COPIES = _add("job_copies", rows.JobCopyRow) + ' ON CONFLICT (job, "offset") DO NOTHING'
DROP_LIVES = (
    "DELETE FROM views.attempts WHERE job = ANY(%s)",
    "DELETE FROM views.job_events WHERE job = ANY(%s)",
)
"""For jobs that begin a new life. Copies stay, because an erasure needs those of every life."""
PUT_NODES = _put("nodes", rows.NodeRow, "pool", "node")
PUT_CLUSTERS = _put("clusters", rows.ClusterRow, "pool", "cluster")
PUT_POLICIES = _put("policies", rows.PolicyRow, "pool")
PUT_VERSIONS = _put("versions", rows.VersionRow, "pool", "model", "version")
PUT_WITHDRAWALS = _put("withdrawals", rows.WithdrawalRow, "pool", "model", "version")
PUT_ALIASES = _put("aliases", rows.AliasRow, "pool", "model", "alias")
ADD_JOB_COUNTS = (
    "INSERT INTO views.job_counts AS c (pool, tenant, tier, state, jobs) SELECT * FROM "
    + _from_json({"pool": "text", "tenant": "text", "tier": "text", "state": "text", "jobs": "bigint"})
    + " ON CONFLICT (pool, tenant, tier, state) DO UPDATE SET jobs = c.jobs + excluded.jobs"
)
ADD_COUNTERS = (
    "INSERT INTO views.counters AS c (pool, name, value) SELECT * FROM "
    + _from_json({"pool": "text", "name": "text", "value": "bigint"})
    + " ON CONFLICT (pool, name) DO UPDATE SET value = c.value + excluded.value"
)


def _add_in_flight(table: str, column: str) -> str:
    given = _from_json({"pool": "text", column: "text", "staged": "bigint", "running": "bigint"})
    return (
        f"UPDATE views.{table} AS t SET staged = t.staged + given.staged, running = t.running + given.running"
        f" FROM {given} WHERE t.pool = given.pool AND t.{column} = given.{column}"
    )


ADD_TO_CLUSTERS = _add_in_flight("clusters", "cluster")
ADD_TO_NODES = _add_in_flight("nodes", "node")
BLANK_RECEIPTS = "UPDATE views.receipts SET salt = '', fingerprint = '' WHERE request = ANY(%s)"

_LEDGER_TABLES = (
    "ledger_positions",
    "attempts",
    "job_events",
    "job_copies",
    "job_counts",
    "nodes",
    "clusters",
    "policies",
    "versions",
    "withdrawals",
    "aliases",
    "counters",
)
FORGET = (
    *(f"DELETE FROM views.{table} WHERE pool = :pool" for table in _LEDGER_TABLES),
    "DELETE FROM views.jobs WHERE pool = :pool AND state <> 'submitted'",
)
