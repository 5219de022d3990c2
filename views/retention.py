"""Removing rows of jobs that ended long ago, and of copies that the broker has no more. See operations.retention.

Each call is a short statement on a page of rows. The caller goes through the pages, each in a transaction of its own,
so that the projector and the API never wait long.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from views.statements import LOCK

PAGE_ROWS = 1_000


class OldJob(NamedTuple):
    submitted_ms: int
    job: str
    pool: str


class OldCopy(NamedTuple):
    job: str
    offset: int


_FIRST_TENANT = text("SELECT min(tenant) FROM views.jobs")
_NEXT_TENANT = text("SELECT min(tenant) FROM views.jobs WHERE tenant > :after")
_OLD_JOBS = text(
    """
    SELECT submitted_ms, job, pool FROM views.jobs
    WHERE tenant = :tenant AND submitted_ms < :before_ms AND (submitted_ms, job) > (:after_ms, :after)
    ORDER BY submitted_ms, job LIMIT :limit
    """
)
_REMOVE_JOBS = text(
    """
    WITH gone AS (
        DELETE FROM views.jobs
        WHERE job = ANY(:jobs) AND pool = :pool AND ended_ms < :before_ms
            AND erasure <> 'ordered' AND coalesce(gone_by_ms, 0) < :before_ms
        RETURNING job, tenant, tier, state
    ), attempts AS (
        DELETE FROM views.attempts USING gone WHERE attempts.job = gone.job
    ), events AS (
        DELETE FROM views.job_events USING gone WHERE job_events.job = gone.job
    ), receipts AS (
        DELETE FROM views.receipts USING gone WHERE request = right(gone.job, 32)
    ), counts AS (
        UPDATE views.job_counts AS c SET jobs = c.jobs - fewer.jobs
        FROM (SELECT tenant, tier, state, count(*) AS jobs FROM gone GROUP BY tenant, tier, state) AS fewer
        WHERE c.pool = :pool AND (c.tenant, c.tier, c.state) = (fewer.tenant, fewer.tier, fewer.state)
    )
    SELECT count(*) FROM gone
    """
)
"""Jobs of which nobody can say any more whether they ended, or whose words are still going, stay."""
_COPIES = text(
    """
    SELECT job, "offset" FROM views.job_copies
    WHERE (job, "offset") > (:after, :after_offset) ORDER BY job, "offset" LIMIT :limit
    """
)
_REMOVE_COPIES = text(
    """
    DELETE FROM views.job_copies
    WHERE (job, "offset") > (:after, :after_offset) AND (job, "offset") <= (:last, :last_offset)
        AND pool = :pool AND "offset" < :first
    """
)


def next_tenant(connection: Connection, after: str | None) -> str | None:
    """The tenants of all jobs, in order; None: there is no further one."""
    found: str | None = (
        connection.execute(_FIRST_TENANT) if after is None else connection.execute(_NEXT_TENANT, {"after": after})
    ).scalar_one()
    return found


def old_jobs(connection: Connection, tenant: str, before_ms: int, after: OldJob | None) -> list[OldJob]:
    """A page of the tenant's jobs that were submitted before this time, the oldest first. None: the first page."""
    last_ms, last = (after.submitted_ms, after.job) if after else (-(2**63), "")
    values = {"tenant": tenant, "before_ms": before_ms, "after_ms": last_ms, "after": last, "limit": PAGE_ROWS}
    return [OldJob(*row) for row in connection.execute(_OLD_JOBS, values)]


def remove_jobs(connection: Connection, pool: str, jobs: Sequence[str], before_ms: int) -> int:
    """Removes those of these jobs that ended before this time, with their attempts, events and receipts. How many.

    Holds off the projector of the pool until the transaction ends: it changes the same counts."""
    connection.execute(text(LOCK), {"pool": pool})
    removed: int = connection.execute(
        _REMOVE_JOBS, {"pool": pool, "jobs": list(jobs), "before_ms": before_ms}
    ).scalar_one()
    return removed


def copies(connection: Connection, after: OldCopy) -> list[OldCopy]:
    """A page of all copies that the views know."""
    values = {"after": after.job, "after_offset": after.offset, "limit": PAGE_ROWS}
    return [OldCopy(*row) for row in connection.execute(_COPIES, values)]


def remove_copies(connection: Connection, pool: str, first: int, after: OldCopy, last: OldCopy) -> int:
    """Removes copies behind `after` up to `last` that lie before the offset `first` of `jobs`. How many."""
    values = {"pool": pool, "first": first, "after": after.job, "after_offset": after.offset}
    values |= {"last": last.job, "last_offset": last.offset}
    return connection.execute(_REMOVE_COPIES, values).rowcount
