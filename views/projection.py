"""Ledger batches into Postgres, with the position of the pool in the same transaction.

The caller holds the transaction (`with engine.begin() as connection: apply(connection, …)`) and gives the records that
count (contract.chain), in order. Each call writes each table by one statement, whose rows travel as one JSON parameter.
All events of a call share the cost of a statement, so give `apply_all` whatever is ready. The transaction need not be
flushed to disk (`synchronous_commit` off): a crash of Postgres loses the position together with the rows, and both are
folded again from the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import psycopg
import sqlalchemy

from contract.batch import GENESIS, Batch
from contract.bounds import mended
from views import rows, statements
from views.columns import nearest_number
from views.fold import Fold, mentioned
from views.job_fold import Omission
from views.receipts import bits_of
from views.refusals import drop_refused, statements_and_rows

CHANNEL = "headrace_views"
"""NOTIFY channel. When a transaction that changed views commits, it gets the name of the pool."""


class Position(NamedTuple):
    """The last ledger record that a pool's views contain."""

    offset: int
    hash: str
    seq: int
    epoch: int


class CountedRecord(NamedTuple):
    """A ledger record that counts."""

    offset: int
    at_ms: int
    """Its append time by the broker's clock."""
    hash: str
    batch: Batch


class OutOfStep(Exception):
    """A record does not follow the last record that the views contain. Nothing was written."""


def position(connection: sqlalchemy.Connection, pool: str) -> Position | None:
    """Up to where the views of the pool contain its ledger; None: they contain nothing yet."""
    row = connection.execute(sqlalchemy.text(statements.POSITION), {"pool": pool}).one_or_none()
    return None if row is None else Position(*row)


class Applied(NamedTuple):
    """What one call did to the views."""

    records: int
    """How many of the given records were new."""
    omissions: list[Omission]
    """What the views do not show, and why."""


def apply(
    connection: sqlalchemy.Connection, pool: str, offset: int, at_ms: int, record_hash: str, batch: Batch
) -> bool:
    """Folds one record into the views, as `apply_all`. False: the views contained the record already."""
    return apply_all(connection, pool, [CountedRecord(offset, at_ms, record_hash, batch)]).records > 0


def apply_all(
    connection: sqlalchemy.Connection, pool: str, records: Sequence[CountedRecord], *, carefully: bool = False
) -> Applied:
    """Folds consecutive records of the ledger of a pool into its views.

    Records that the views contain already are passed over, so a record may come twice. OutOfStep when a new record does
    not follow. Errors of psycopg and SQLAlchemy are not caught. Roll back after any error. `carefully` is for the call
    after the database refused a row: each row is tried alone, a refused row is left out, its job set aside
    (views.refusals)."""
    before = _locked_position(connection, pool)
    fresh = _following(pool, before, records)
    if not fresh:
        return Applied(0, [])
    driver = _driver(connection)
    with driver.cursor() as cursor:
        fold = _load(cursor, pool, [record.batch for record in fresh])
        for record in fresh:
            fold.fold(record.offset, record.batch)
        if carefully:
            drop_refused(driver, cursor, fold)
        with driver.pipeline():  # one round trip for all statements
            _store(cursor, pool, fold)
            cursor.execute(statements.MOVE_POSITION, _moved(pool, fresh[-1], fold))
            cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL, pool))
    return Applied(len(fresh), fold.omissions)


def forget(connection: sqlalchemy.Connection, pool: str) -> None:
    """Empties the views of the pool, so that the next fold begins at the first record of its ledger. Jobs that the api
    acknowledged and the ledger has not named stay."""
    for statement in statements.FORGET:
        connection.execute(sqlalchemy.text(statement), {"pool": pool})


def _driver(connection: sqlalchemy.Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise TypeError(f"expected a psycopg connection (postgresql+psycopg://), found {type(driver).__name__}")
    return driver


def _moved(pool: str, last: CountedRecord, fold: Fold) -> dict[str, Any]:
    opened = fold.pool.opened
    return {
        "pool": pool,
        "offset": last.offset,
        "hash": last.hash,
        "seq": last.batch.seq,
        "epoch": last.batch.epoch,
        "at_ms": last.at_ms,
        "now_ms": nearest_number(last.batch.now_ms),
        "position": nearest_number(last.batch.position),
        "session": mended(opened.session) if opened else None,
        "release": mended(opened.release) if opened else None,
        "rules": nearest_number(opened.rules, "integer") if opened else None,
        "held": fold.pool.held,
        "held_by": fold.pool.held_by,
        "signed_from": fold.pool.signed_from,
    }


def _locked_position(connection: sqlalchemy.Connection, pool: str) -> Position | None:
    """Locks the views of the pool against another projector until the transaction ends. Returns their position."""
    connection.execute(sqlalchemy.text(statements.LOCK), {"pool": pool})
    return position(connection, pool)


def _following(pool: str, at: Position | None, records: Iterable[CountedRecord]) -> list[CountedRecord]:
    fresh = []
    for record in records:
        if at is not None and record.offset <= at.offset:
            continue
        batch = record.batch
        want_hash, want_seq = (GENESIS, 0) if at is None else (at.hash, at.seq + 1)
        if batch.pool != pool or batch.prev_hash != want_hash or batch.seq != want_seq:
            raise OutOfStep(
                f"ledger offset {record.offset}: expected pool {pool}, seq {want_seq} after {want_hash[:12]}, found"
                f" pool {batch.pool}, seq {batch.seq} after {batch.prev_hash[:12]}; read on from the views' position"
            )
        fresh.append(record)
        at = Position(record.offset, record.hash, batch.seq, batch.epoch)
    return fresh


def _load(cursor: psycopg.Cursor[Any], pool: str, batches: Sequence[Batch]) -> Fold:
    wanted = mentioned(batches)
    jobs: dict[str, rows.JobRow] = {}
    attempts: dict[str, rows.AttemptRow] = {}
    nodes: dict[str, rows.NodeRow] = {}
    clusters: dict[str, rows.ClusterRow] = {}
    if wanted.jobs:
        for row in cursor.execute(statements.JOBS_WANTED, (wanted.jobs,)):
            jobs[row[0]] = rows.JobRow(*row)
        for row in cursor.execute(statements.OPEN_ATTEMPTS_WANTED, (wanted.jobs,)):
            attempts[row[0]] = rows.AttemptRow(*row)
    names = wanted.nodes_with(attempts)
    if names:
        for row in cursor.execute(statements.NODES_WANTED, (pool, names)):
            nodes[row[1]] = rows.NodeRow(*row)
    if wanted.clusters:
        for row in cursor.execute(statements.CLUSTERS_OF, (pool,)):
            clusters[row[1]] = rows.ClusterRow(*row)
    return Fold(pool, jobs, attempts, nodes, clusters)


def _store(cursor: psycopg.Cursor[Any], pool: str, fold: Fold) -> None:
    jobs = fold.jobs
    if jobs.begun:
        for statement in statements.DROP_LIVES:
            cursor.execute(statement, (sorted(jobs.begun),))
    for statement, values in [*statements_and_rows(fold), *_sums(pool, fold)]:
        if values:
            cursor.execute(statement, (msgspec.json.encode(values).decode(),))
    if jobs.erased:
        cursor.execute(statements.BLANK_RECEIPTS, (sorted(map(bits_of, jobs.erased)),))


def _sums(pool: str, fold: Fold) -> list[tuple[str, list[Any]]]:
    """Statements and the differences that they add to rows which many jobs share."""
    jobs = fold.jobs
    counts = [
        {"pool": pool, "tenant": tenant, "tier": tier, "state": state, "jobs": difference}
        for (tenant, tier, state), difference in jobs.counts.items()
        if difference
    ]
    return [
        (statements.ADD_JOB_COUNTS, counts),
        (statements.ADD_TO_CLUSTERS, _in_flight(pool, "cluster", jobs.in_clusters)),
        (statements.ADD_TO_NODES, _in_flight(pool, "node", jobs.in_nodes)),
        (statements.ADD_COUNTERS, [{"pool": pool, "name": n, "value": v} for n, v in fold.counters.items()]),
    ]


def _in_flight(pool: str, column: str, differences: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
    sums: dict[str, dict[str, Any]] = {}
    for (name, state), difference in differences.items():
        row = sums.setdefault(name, {"pool": pool, column: name, "staged": 0, "running": 0})
        row[state] += difference
    return [row for row in sums.values() if row["staged"] or row["running"]]
