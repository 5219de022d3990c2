"""Withdrawn versions, and how many jobs wait with them. For operators: to count jobs, every job is looked at."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, text


class WithdrawnVersion(msgspec.Struct):
    model: str
    version: str
    kill: bool
    """What ran was stopped, too."""
    waiting: int
    """Jobs that wait and have the version still: their alias has no other, or the scheduler has not come to them."""
    actor: str = ""
    """The operator who withdrew it; empty: nobody signed."""


def versions(connection: Connection, model: str = "") -> dict[str, WithdrawnVersion]:
    """The withdrawn versions of the model, or of every model, by digest. With an author's login none has jobs."""
    query = text(
        "SELECT model, version, kill, actor FROM views.withdrawals WHERE CAST(:model AS text) IN ('', model)"
        " ORDER BY model, version"
    )
    found = connection.execute(query, {"model": model}).all()
    waiting = waiting_jobs(connection, [row.version for row in found]) if found and _may_count(connection) else {}
    return {
        row.version: WithdrawnVersion(row.model, row.version, row.kill, waiting.get(row.version, 0), row.actor)
        for row in found
    }


def _may_count(connection: Connection) -> bool:
    """An author's login reads no jobs."""
    may: bool = connection.execute(text("SELECT has_table_privilege('views.jobs', 'SELECT')")).scalar_one()
    return may


def is_withdrawn(connection: Connection, version: str, *, kill: bool) -> bool:
    """The ledger says so, at least as strictly as asked: with `kill`, what ran was stopped, too."""
    query = text("SELECT bool_or(kill) FROM views.withdrawals WHERE version = :version")
    found = connection.execute(query, {"version": version}).scalar_one()
    return found is not None and found >= kill


def waiting_jobs(connection: Connection, versions: Sequence[str]) -> dict[str, int]:
    """How many jobs wait with each of these versions; a version without any is left out."""
    query = text(
        "SELECT version, count(*) AS jobs FROM views.jobs"
        " WHERE state IN ('queued', 'preparing') AND version = ANY(:versions)"
        " GROUP BY version"
    )
    return {row.version: row.jobs for row in connection.execute(query, {"versions": list(versions)})}
