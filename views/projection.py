"""Ledger batches into Postgres, with the pool's position in the same transaction.

The caller holds the transaction (`with engine.begin() as connection: apply(connection, …)`) and gives the records
that count (scheduling.chain), in order. Each table is written by one statement a call, whose rows travel as one
JSON parameter, so the cost of a statement is shared by all events of the call: give `apply_all` whatever is ready.
The transaction need not be flushed to disk (`synchronous_commit` off): after a crash of Postgres the position is
lost with the rows, and both are folded again from the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import psycopg
import sqlalchemy

from contract.batch import GENESIS, Batch
from views import rows, statements
from views.fold import Fold, mentioned
from views.job_fold import JobFold
from views.receipts import bits_of

CHANNEL = "headrace_views"
"""NOTIFY channel: one message, the pool's name, when a transaction that changed its views commits."""


class Position(NamedTuple):
    """The last ledger record that a pool's views contain."""

    offset: int
    hash: str
    seq: int
    epoch: int


class Record(NamedTuple):
    """A ledger record that counts."""

    offset: int
    at_ms: int
    """Its append time by the broker's clock."""
    hash: str
    batch: Batch


class OutOfStep(Exception):
    """A record does not follow the last one that the views contain: nothing was written."""


def position(connection: sqlalchemy.Connection, pool: str) -> Position | None:
    """Where the pool's views are in its ledger; None when they contain nothing yet."""
    row = connection.execute(sqlalchemy.text(statements.POSITION), {"pool": pool}).one_or_none()
    return None if row is None else Position(*row)


def apply(
    connection: sqlalchemy.Connection, pool: str, offset: int, at_ms: int, record_hash: str, batch: Batch
) -> bool:
    """Fold one record into the views. See `apply_all`."""
    return apply_all(connection, pool, [Record(offset, at_ms, record_hash, batch)]) > 0


def apply_all(connection: sqlalchemy.Connection, pool: str, records: Sequence[Record]) -> int:
    """Fold consecutive records of a pool's ledger into the views; how many of them were new.

    Records that the views contain already are passed over, so a record may come twice. OutOfStep when a new one does
    not follow; IllegalTransition when an event may not happen to its job. After either, roll back."""
    before = _locked_position(connection, pool)
    fresh = _following(pool, before, records)
    if not fresh:
        return 0
    driver = _driver(connection)
    with driver.cursor() as cursor:
        fold = _load(cursor, pool, [record.batch for record in fresh])
        for record in fresh:
            fold.fold(record.offset, record.batch)
        with driver.pipeline():  # one round trip for all statements
            _store(cursor, pool, fold)
            cursor.execute(statements.MOVE_POSITION, _moved(pool, fresh[-1], fold))
            cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL, pool))
    return len(fresh)


def forget(connection: sqlalchemy.Connection, pool: str) -> None:
    """Empty the pool's views, so that the next fold begins at its ledger's first record. What the api acknowledged
    and the ledger has not named stays."""
    for statement in statements.FORGET:
        connection.execute(sqlalchemy.text(statement), {"pool": pool})


def _driver(connection: sqlalchemy.Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise TypeError(f"expected a psycopg connection (postgresql+psycopg://), found {type(driver).__name__}")
    return driver


def _moved(pool: str, last: Record, fold: Fold) -> dict[str, Any]:
    opened = fold.pool.opened
    return {
        "pool": pool,
        "offset": last.offset,
        "hash": last.hash,
        "seq": last.batch.seq,
        "epoch": last.batch.epoch,
        "at_ms": last.at_ms,
        "now_ms": last.batch.now_ms,
        "position": last.batch.position,
        "session": opened.session if opened else None,
        "release": opened.release if opened else None,
        "rules": opened.rules if opened else None,
    }


def _locked_position(connection: sqlalchemy.Connection, pool: str) -> Position | None:
    """Locks the pool's views against another projector until the transaction ends."""
    connection.execute(sqlalchemy.text(statements.LOCK), {"pool": pool})
    return position(connection, pool)


def _following(pool: str, at: Position | None, records: Iterable[Record]) -> list[Record]:
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
    if wanted.nodes:
        for row in cursor.execute(statements.NODES_WANTED, (pool, wanted.nodes)):
            nodes[row[1]] = rows.NodeRow(*row)
    if wanted.clusters:
        for row in cursor.execute(statements.CLUSTERS_OF, (pool,)):
            clusters[row[1]] = rows.ClusterRow(*row)
    return Fold(pool, jobs, attempts, nodes, clusters)


def _store(cursor: psycopg.Cursor[Any], pool: str, fold: Fold) -> None:
    """Jobs in the order of their ids: two writers that lock several rows lock them in one order."""
    jobs, own = fold.jobs, fold.pool
    writes: list[tuple[str, list[Any]]] = [
        (statements.PUT_JOBS, [jobs.jobs[job] for job in sorted(jobs.jobs)]),
        (statements.PUT_ATTEMPTS, list(jobs.attempts.values())),
        (statements.ADD_JOB_EVENTS, jobs.events),
        (statements.ADD_JOB_COPIES, list(jobs.copies.values())),
        (statements.PUT_NODES, list(own.nodes.values())),
        (statements.PUT_CLUSTERS, list(own.clusters.values())),
        (statements.PUT_POLICIES, [own.policy] if own.policy else []),
        (statements.PUT_VERSIONS, list(own.versions.values())),
        (statements.PUT_ALIASES, list(own.aliases.values())),
        (statements.ADD_JOB_COUNTS, _job_counts(pool, jobs)),
        (statements.ADD_TO_CLUSTERS, _in_flight(pool, jobs, "cluster", 0)),
        (statements.ADD_TO_NODES, _in_flight(pool, jobs, "node", 1)),
        (statements.ADD_COUNTERS, [{"pool": pool, "name": n, "value": v} for n, v in own.counters.items()]),
    ]
    for statement, values in writes:
        if values:
            cursor.execute(statement, (msgspec.json.encode(values).decode(),))
    if jobs.erased:
        cursor.execute(statements.DROP_RECEIPTS, (sorted(map(bits_of, jobs.erased)),))


def _job_counts(pool: str, jobs: JobFold) -> list[dict[str, Any]]:
    return [
        {"pool": pool, "tenant": tenant, "tier": tier, "state": state, "jobs": difference}
        for (tenant, tier, state), difference in jobs.counts.items()
        if difference
    ]


def _in_flight(pool: str, jobs: JobFold, column: str, part: int) -> list[dict[str, Any]]:
    sums: dict[str, dict[str, Any]] = {}
    for key, difference in jobs.in_flight.items():
        row = sums.setdefault(key[part], {"pool": pool, column: key[part], "staged": 0, "running": 0})
        row[key[2]] += difference
    return [row for row in sums.values() if row["staged"] or row["running"]]
