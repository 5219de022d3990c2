"""Rows that the database refuses, the last line of defence: they are found one by one, and left out.

Every row is made to fit before it is stored (views.columns), so Postgres should refuse no row. A row that it refuses
all the same must not stop the views of all tenants. So a store that was refused is done once more, carefully. The rows
of each job, and each other row, are tried alone and rolled back. A job whose rows are refused is set aside, any other
refused row is left out. Then everything is stored.
"""

from __future__ import annotations

from typing import Any

import msgspec
import psycopg

from runtime.postgres import is_of_the_data
from views import statements
from views.fold import Fold


def is_refusal(error: BaseException | None) -> bool:
    """Whether the database answered and refuses the values. Any other error (away, read-only, out of space, not
    migrated, a deadlock) passes by itself or is repaired by somebody, and the same may be tried again."""
    return isinstance(error, psycopg.Error) and is_of_the_data(error)


def statements_and_rows(fold: Fold) -> list[tuple[str, list[Any]]]:
    """Statements and their rows, except differences for rows that jobs share. Jobs come in the order of their ids, so
    that two writers lock rows in the same order and cannot deadlock."""
    return [*_of_jobs(fold), *_of_the_pool(fold)]


def _of_jobs(fold: Fold) -> list[tuple[str, list[Any]]]:
    jobs = fold.jobs
    return [
        (statements.PUT_JOBS, [jobs.jobs[job] for job in sorted(jobs.jobs)]),
        (statements.PUT_ATTEMPTS, list(jobs.attempts.values())),
        (statements.ADD_JOB_EVENTS, jobs.events),
        (statements.ADD_JOB_COPIES, list(jobs.copies.values())),
    ]


def _of_the_pool(fold: Fold) -> list[tuple[str, list[Any]]]:
    own = fold.pool
    return [
        (statements.PUT_NODES, list(own.nodes.values())),
        (statements.PUT_CLUSTERS, list(own.clusters.values())),
        (statements.PUT_POLICIES, [own.policy] if own.policy else []),
        (statements.PUT_VERSIONS, list(own.versions.values())),
        (statements.PUT_WITHDRAWALS, list(own.withdrawals.values())),
        (statements.PUT_ALIASES, list(own.aliases.values())),
    ]


def drop_refused(driver: psycopg.Connection[Any], cursor: psycopg.Cursor[Any], fold: Fold) -> None:
    """Takes out of the fold what the database refuses; it stores nothing. Errors that are no refusal go through."""
    by_job: dict[str, list[tuple[str, Any]]] = {}
    for statement, values in _of_jobs(fold):
        for row in values:
            by_job.setdefault(row.job, []).append((statement, row))
    for job, rows in by_job.items():
        before = [(statement, [job]) for statement in statements.DROP_LIVES] if job in fold.jobs.begun else []
        reason = _refusal(driver, cursor, before + [(statement, _given(row)) for statement, row in rows])
        if reason:
            fold.jobs.refuse(job, reason)
            if _refusal(driver, cursor, [(statements.PUT_JOBS, _given(fold.jobs.jobs[job]))]):
                fold.jobs.leave_out(job)
    for statement, values in _of_the_pool(fold):
        for row in values:
            reason = _refusal(driver, cursor, [(statement, _given(row))])
            if reason:
                fold.refuse(row, reason)


def _given(row: Any) -> str:
    return msgspec.json.encode([row]).decode()


def _refusal(driver: psycopg.Connection[Any], cursor: psycopg.Cursor[Any], trials: list[tuple[str, Any]]) -> str:
    """Why the database refuses one of these statements, by the class of its error. Empty: it takes them all."""
    try:
        with driver.transaction() as trial:
            for statement, given in trials:
                cursor.execute(statement, (given,))
            raise psycopg.Rollback(trial)
    except psycopg.Error as error:
        if not is_refusal(error):
            raise
        return f"the database refused a row of it: {type(error).__name__}"
    return ""
