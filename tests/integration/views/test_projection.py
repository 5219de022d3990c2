"""Ledger batches into a real Postgres."""

from __future__ import annotations

import select
import time
from typing import Any

import msgspec
import psycopg
import pytest
from sqlalchemy import Connection, Engine, make_url, text

from contract import events as e
from tests.unit.views.ledger import MANIFEST, VERSION, Ledger, job_of
from views import projection, queries
from views.statements import FORGET

LEDGER_TABLES = [statement.split()[2] for statement in FORGET]


def apply_one_by_one(engine: Engine, ledger: Ledger) -> None:
    for record in ledger.records:
        with engine.begin() as connection:
            projection.apply(connection, ledger.pool, *record)


def apply_at_once(engine: Engine, ledger: Ledger) -> int:
    with engine.begin() as connection:
        return projection.apply_all(connection, ledger.pool, ledger.records).records


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


def test_an_illegal_transition_sets_that_job_aside_and_the_others_go_on(engine: Engine, ledger: Ledger) -> None:
    job, other = job_of(ledger.pool, "one"), job_of(ledger.pool, "two")
    ledger.run(job)
    record = ledger.write(ledger.accepted(other), ledger.dispatched(job))
    ledger.write(ledger.dispatched(other))
    with engine.begin() as connection:
        applied = projection.apply_all(connection, ledger.pool, ledger.records)
        rows = [queries.job(connection, "acme", name) for name in (job, other)]
        (pool,) = [view for view in queries.pools(connection) if view.pool == ledger.pool]
    assert [(omission.job, omission.offset) for omission in applied.omissions] == [(job, record.offset)]
    assert [row.state for row in rows if row] == ["unreadable", "dispatched"]
    assert rows[0] is not None
    assert rows[0].reason.startswith(f"ledger offset {record.offset}: JobDispatched in state succeeded")
    assert (pool.unreadable, pool.passed_over) == (1, 0)


def test_from_where_on_a_pool_is_signed_is_kept(engine: Engine, ledger: Ledger) -> None:
    def signed_from() -> int:
        apply_at_once(engine, ledger)
        with engine.connect() as connection:
            (pool,) = [view for view in queries.pools(connection) if view.pool == ledger.pool]
            assert (ledger.pool in queries.pools_that_want_signatures(connection)) is (pool.signed_from >= 0)
        return pool.signed_from

    ledger.open()
    assert signed_from() == -1
    ledger.write(e.Opened("s", "0.2.0", 4, 12))
    assert signed_from() == 12
    ledger.write(e.Opened("s", "0.1.0", 3))
    assert signed_from() == 12, "a scheduler of v0.1.0 says nothing of signatures"


def test_a_new_life_begins_its_rows_anew(engine: Engine, ledger: Ledger) -> None:
    job = job_of(ledger.pool, "one")
    ledger.write(ledger.accepted(job))
    ledger.write(ledger.dispatched(job))
    ledger.write(ledger.started(job))
    ledger.write(ledger.failed(job), e.JobRequeued(job, 0))
    ledger.write(ledger.dispatched(job))
    ledger.write(ledger.started(job), ledger.succeeded(job))
    ledger.write(e.ErasureOrdered(job), e.JobErased(job, (1,), 77))
    apply_at_once(engine, ledger)
    ledger.forget(job)
    ledger.write(ledger.accepted(job))
    ledger.write(ledger.dispatched(job))
    apply_one_by_one(engine, ledger)
    with engine.connect() as connection:
        row = queries.job(connection, "acme", job)
        assert row is not None
        assert (row.state, row.attempts, row.erasure, row.result_manifest) == ("dispatched", 1, "", "")
        assert [attempt.state for attempt in queries.attempts(connection, "acme", job)] == ["staged"]
        happened = [event.event for event in queries.job_events(connection, "acme", job)]
        assert happened == ["JobAccepted", "JobDispatched"]
        assert len(queries.job_copies(connection, job)) == 2
        assert {(count.tier, count.state): count.jobs for count in counts_of(connection, ledger.pool)} == {
            ("free", "dispatched"): 1
        }
    after = contents(engine, ledger.pool)
    with engine.begin() as connection:
        projection.forget(connection, ledger.pool)
    apply_at_once(engine, ledger)
    assert contents(engine, ledger.pool) == {k: _without_zero(v) for k, v in after.items()}


def counts_of(connection: Connection, pool: str) -> list[queries.JobCount]:
    query = "SELECT tier, state, jobs FROM views.job_counts WHERE pool = :p AND jobs <> 0"
    return [queries.JobCount(*row) for row in connection.execute(text(query), {"p": pool})]


def test_a_gang_is_in_flight_on_each_of_its_nodes(engine: Engine, ledger: Ledger) -> None:
    job = job_of(ledger.pool, "one")
    ledger.admit("n-2")
    ledger.write(ledger.accepted(job))
    ledger.write(msgspec.structs.replace(ledger.dispatched(job), members=(e.Member("n-2", "n1"),)))
    apply_one_by_one(engine, ledger)
    assert in_flight(engine, ledger.pool) == {"n-1": (1, 0, []), "n-2": (1, 0, [])}
    ledger.write(ledger.started(job))  # another call than the one that dispatched: its nodes are found by its attempt
    apply_one_by_one(engine, ledger)
    assert in_flight(engine, ledger.pool) == {"n-1": (0, 1, [VERSION]), "n-2": (0, 1, [VERSION])}
    ledger.write(ledger.succeeded(job))
    apply_one_by_one(engine, ledger)
    assert in_flight(engine, ledger.pool) == {"n-1": (0, 0, [VERSION]), "n-2": (0, 0, [VERSION])}


def in_flight(engine: Engine, pool: str) -> dict[str, tuple[int, int, list[str]]]:
    with engine.connect() as connection:
        nodes = [node for node in queries.nodes(connection) if node.pool == pool]
    return {node.node: (node.staged, node.running, node.loaded) for node in nodes}


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
