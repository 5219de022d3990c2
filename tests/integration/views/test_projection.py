"""Ledger batches into a real Postgres."""

from __future__ import annotations

import select
import time
from typing import Any

import msgspec
import psycopg
import pytest
from sqlalchemy import Engine, make_url, text

from contract import events as e
from contract.lifecycle import IllegalTransition
from tests.unit.views.ledger import MANIFEST, Ledger, job_of
from views import projection, queries
from views.statements import FORGET

LEDGER_TABLES = [statement.split()[2] for statement in FORGET]


def apply_one_by_one(engine: Engine, ledger: Ledger) -> None:
    for record in ledger.records:
        with engine.begin() as connection:
            projection.apply(connection, ledger.pool, *record)


def apply_at_once(engine: Engine, ledger: Ledger) -> int:
    with engine.begin() as connection:
        return projection.apply_all(connection, ledger.pool, ledger.records)


def contents(engine: Engine, pool: str) -> dict[str, list[Any]]:
    """Every row of the pool, in no order that depends on how it was written."""
    with engine.connect() as connection:
        return {
            table: sorted(
                connection.execute(text(f"SELECT to_jsonb(t)::text FROM {table} t WHERE pool = :p"), {"p": pool})
                .scalars()
                .all()
            )
            for table in LEDGER_TABLES
        }


def busy(ledger: Ledger) -> list[str]:
    """A ledger with something of everything."""
    jobs = [job_of(ledger.pool, str(number)) for number in range(8)]
    for job in jobs[:2]:
        ledger.run(job)
    ledger.write(*(ledger.accepted(job, tenant="globex" if job == jobs[7] else "acme") for job in jobs[2:]))
    ledger.write(*(ledger.dispatched(job, index=index) for index, job in enumerate(jobs[3:7])))
    ledger.write(ledger.started(jobs[3]), ledger.started(jobs[4]), e.ReportStale("Started"))
    ledger.write(ledger.failed(jobs[3]), e.JobRequeued(jobs[3], 2_000))
    ledger.write(e.JobCancelling(jobs[4], "cancel"), e.KillOrdered(jobs[4], ledger.dispatch(jobs[4]), "cancel"))
    ledger.write(ledger.closed(jobs[4], "killed"), e.JobCancelled(jobs[4], "cancel"))
    ledger.write(ledger.dispatched(jobs[3]), e.NodeHeard("n-1", "n1"))
    ledger.write(e.JobDuplicated(jobs[0], 90, "k90"), e.ErasureOrdered(jobs[0]), e.JobErased(jobs[0], (1, 90), 77))
    ledger.write(e.ClusterDraining("west", 0))
    return jobs


def test_rows_and_position_are_written_together(engine: Engine, ledger: Ledger) -> None:
    jobs = busy(ledger)
    apply_one_by_one(engine, ledger)
    with engine.connect() as connection:
        row = queries.job(connection, "acme", jobs[1])
        assert row is not None
        assert (row.state, row.result_manifest) == ("succeeded", MANIFEST)
        last = ledger.records[-1]
        assert projection.position(connection, ledger.pool) == (last.offset, last.hash, last.batch.seq, 1)
        assert [a.state for a in queries.attempts(connection, "acme", jobs[3])] == ["failed", "staged"]
        assert [event.event for event in queries.job_events(connection, "acme", jobs[1])] == [
            "JobAccepted",
            "JobDispatched",
            "AttemptStarted",
            "JobSucceeded",
        ]
        assert [copy.offset for copy in queries.job_copies(connection, jobs[0])] == [1, 90]


def test_batches_at_once_give_the_same_rows_as_one_by_one(engine: Engine, ledger: Ledger) -> None:
    busy(ledger)
    apply_one_by_one(engine, ledger)
    one_by_one = contents(engine, ledger.pool)
    with engine.begin() as connection:
        projection.forget(connection, ledger.pool)
    assert not any(contents(engine, ledger.pool).values())
    assert apply_at_once(engine, ledger) == len(ledger.records)
    assert {k: _without_zero(v) for k, v in contents(engine, ledger.pool).items()} == {
        k: _without_zero(v) for k, v in one_by_one.items()
    }


def _without_zero(rows: list[str]) -> list[str]:
    """A count that went up and down within one call leaves no row."""
    return [row for row in rows if msgspec.json.decode(row).get("jobs") != 0]


def test_in_flight_counts_are_those_of_the_open_attempts(engine: Engine, ledger: Ledger) -> None:
    busy(ledger)
    apply_one_by_one(engine, ledger)
    with engine.connect() as connection:
        for column in ("cluster", "node"):
            kept = connection.execute(
                text(f"SELECT {column}, staged, running FROM views.{column}s WHERE pool = :p AND staged + running > 0"),
                {"p": ledger.pool},
            ).all()
            counted = connection.execute(
                text(
                    f"SELECT {column}, count(*) FILTER (WHERE state = 'staged'), count(*) FILTER (WHERE state ="
                    f" 'running') FROM views.attempts WHERE pool = :p AND state IN ('staged', 'running') GROUP BY 1"
                ),
                {"p": ledger.pool},
            ).all()
            assert sorted(map(tuple, kept)) == sorted(map(tuple, counted))
            assert kept


def test_job_counts_are_those_of_the_jobs(engine: Engine, ledger: Ledger) -> None:
    busy(ledger)
    apply_one_by_one(engine, ledger)
    with engine.connect() as connection:
        kept = connection.execute(
            text("SELECT tenant, tier, state, jobs FROM views.job_counts WHERE pool = :p AND jobs <> 0"),
            {"p": ledger.pool},
        ).all()
        counted = connection.execute(
            text("SELECT tenant, tier, state, count(*) FROM views.jobs WHERE pool = :p GROUP BY 1, 2, 3"),
            {"p": ledger.pool},
        ).all()
    assert sorted(map(tuple, kept)) == sorted(map(tuple, counted))


def test_a_record_that_comes_twice_changes_nothing(engine: Engine, ledger: Ledger) -> None:
    busy(ledger)
    apply_at_once(engine, ledger)
    before = contents(engine, ledger.pool)
    assert apply_at_once(engine, ledger) == 0
    assert contents(engine, ledger.pool) == before


def test_a_record_that_does_not_follow_is_refused(engine: Engine, ledger: Ledger) -> None:
    busy(ledger)
    with pytest.raises(projection.OutOfStep, match=r"expected pool .* seq 0"), engine.begin() as connection:
        projection.apply_all(connection, ledger.pool, ledger.records[1:])
    with engine.begin() as connection:
        projection.apply_all(connection, ledger.pool, ledger.records[:3])
    with pytest.raises(projection.OutOfStep, match="seq 3"), engine.begin() as connection:
        projection.apply(connection, ledger.pool, *ledger.records[5])
    with engine.connect() as connection:
        assert projection.position(connection, ledger.pool) == (4, ledger.records[2].hash, 2, 1)


def test_an_illegal_transition_writes_nothing_of_its_batch(engine: Engine, ledger: Ledger) -> None:
    job = job_of(ledger.pool, "one")
    ledger.run(job)
    apply_at_once(engine, ledger)
    before = contents(engine, ledger.pool)
    other = job_of(ledger.pool, "two")
    ledger.write(ledger.accepted(other), ledger.dispatched(job))
    with pytest.raises(IllegalTransition, match="JobDispatched in state succeeded"):
        apply_at_once(engine, ledger)
    assert contents(engine, ledger.pool) == before


def test_a_commit_wakes_those_who_listen(engine: Engine, ledger: Ledger) -> None:
    dsn = make_url(engine.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute(f"LISTEN {projection.CHANNEL}")
        apply_at_once(engine, ledger)
        deadline = time.monotonic() + 10
        heard: list[str] = []
        while ledger.pool not in heard:
            assert select.select([listener], [], [], deadline - time.monotonic())[0], "no notification"
            heard += [notify.payload for notify in listener.notifies(timeout=0)]


def test_forgetting_one_pool_leaves_the_others(engine: Engine, ledger: Ledger) -> None:
    busy(ledger)
    other = Ledger(ledger.pool + "x")
    other.open()
    other.adopt()
    other.run(job_of(other.pool, "one"))
    apply_at_once(engine, ledger)
    apply_at_once(engine, other)
    kept = contents(engine, other.pool)
    with engine.begin() as connection:
        projection.forget(connection, ledger.pool)
    assert contents(engine, other.pool) == kept
