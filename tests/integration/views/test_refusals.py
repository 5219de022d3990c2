"""What a ledger may hold, into a real Postgres: what fits is stored, what does not is set aside before it gets there,
and what Postgres refuses all the same is found and left out."""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from contract import events as e
from contract.batch import Batch
from contract.bounds import NUMBER_MAX, TIME_MS_MAX
from contract.codec import decode_batch, decode_input, encode
from contract.inputs import JobSubmitted, Requirements, Submission
from tests.properties.scheduling.worlds import STEPS, Step
from tests.properties.views.twice_lived import live_twice
from tests.properties.views.wild import CUTS, WILDS, Wild, cut_up, gone_wild
from tests.unit.audit.media_story import MediaStory
from tests.unit.scheduling.specification import POLICY, POOL
from tests.unit.views.ledger import VERSION, Ledger, job_of, policy_of
from tests.unit.views.tables import Tables
from views import projection, queries, rows
from views.columns import KEY_BYTES_MAX, columns_of
from views.refusals import is_refusal

ROWS = {
    "jobs": rows.JobRow,
    "attempts": rows.AttemptRow,
    "job_events": rows.JobEventRow,
    "job_copies": rows.JobCopyRow,
    "nodes": rows.NodeRow,
    "clusters": rows.ClusterRow,
    "policies": rows.PolicyRow,
    "versions": rows.VersionRow,
    "withdrawals": rows.WithdrawalRow,
    "aliases": rows.AliasRow,
}


@pytest.mark.parametrize("table", ROWS)
def test_the_columns_are_those_of_the_row(engine: Engine, table: str) -> None:
    query = (
        "SELECT column_name, udt_name FROM information_schema.columns WHERE table_schema = 'views' AND table_name = :t"
    )
    types = {"int8": "bigint", "int4": "integer", "bool": "boolean", "_text": "text[]"}
    with engine.connect() as connection:
        found = {name: types.get(kind, kind) for name, kind in connection.execute(text(query), {"t": table})}
    assert {column.name: column.sql for column in columns_of(ROWS[table])}.items() <= found.items()
    assert set(found) - {column.name for column in columns_of(ROWS[table])} <= {"staged", "running"}


@pytest.mark.parametrize("table", ROWS)
def test_keys_are_marked_as_keys(engine: Engine, table: str) -> None:
    query = (
        "SELECT DISTINCT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid"
        " AND a.attnum = ANY(i.indkey) JOIN pg_type t ON t.oid = a.atttypid"
        " WHERE i.indrelid = CAST(:t AS regclass) AND t.typname = 'text'"
    )
    with engine.connect() as connection:
        indexed = set(connection.execute(text(query), {"t": f"views.{table}"}).scalars())
    assert indexed <= {column.name for column in columns_of(ROWS[table]) if column.is_key}


def test_every_index_holds_its_longest_texts(engine: Engine, ledger: Ledger) -> None:
    name, other = (base64.b64encode(os.urandom(750)).decode() for _ in range(2))  # no compression makes it shorter
    assert len(name) == KEY_BYTES_MAX
    ledger.write(msgspec.structs.replace(ledger.accepted(name, tenant=name, tier=other), model=name, version=name))
    ledger.write(
        e.VersionRegistered(name, other, Requirements(("cpu",)), 1),
        e.AliasPointed(name, other, name, 1),
        e.ReportStale(name),
    )
    ledger.admit(name, cluster=name)
    ledger.write(e.PolicyAdopted(policy_of(ledger.pool), name))
    with engine.begin() as connection:
        applied = projection.apply_all(connection, ledger.pool, ledger.records)
        row = queries.any_job(connection, name)
    assert applied.omissions == []
    assert row is not None
    assert (row.state, row.tenant, row.tier) == ("queued", name, other)


def test_a_deadline_that_no_column_holds_sets_that_job_aside(engine: Engine, ledger: Ledger) -> None:
    """Case X-expires: the door took such a number once, so ledgers have it for ever."""
    bad, good = job_of(ledger.pool, "bad"), job_of(ledger.pool, "good")
    record = ledger.write(msgspec.structs.replace(ledger.accepted(bad), expires_ms=2**63), ledger.accepted(good))
    ledger.write(ledger.dispatched(bad), ledger.dispatched(good, index=1))
    ledger.write(ledger.started(bad), ledger.started(good))
    ledger.write(ledger.succeeded(good))
    for one in ledger.records:
        with engine.begin() as connection:
            projection.apply(connection, ledger.pool, *one)
    with engine.connect() as connection:
        row, other = (queries.job(connection, "acme", job) for job in (bad, good))
        (cluster,) = [c for c in queries.clusters(connection) if (c.pool, c.cluster) == (ledger.pool, "east")]
        (pool,) = [view for view in queries.pools(connection) if view.pool == ledger.pool]
        assert [attempt.state for attempt in queries.attempts(connection, "acme", bad)] == ["running"]
        assert [event.event for event in queries.job_events(connection, "acme", bad)] == ["JobUnreadable"]
        assert queries.job_copies(connection, bad)
    assert row is not None
    assert (row.state, row.tenant, row.tier, row.model) == ("unreadable", "acme", "free", "noop")
    assert row.reason == f"ledger offset {record.offset}: expires_ms is a number of more than 64 bits"
    assert other is not None
    assert other.state == "succeeded"
    assert (cluster.running, cluster.staged) == (1, 0), "what runs is counted, whoever cannot be shown"
    assert (pool.unreadable, pool.passed_over) == (1, 2)
    ledger.write(ledger.succeeded(bad))
    with engine.begin() as connection:
        projection.apply_all(connection, ledger.pool, ledger.records)
        row = queries.job(connection, "acme", bad)
    assert row is not None
    assert (row.state, row.ended_ms) == ("unreadable", ledger.now_ms), "an erasure waits for its end"


def test_a_copy_that_a_ledger_names_twice_is_one(engine: Engine, ledger: Ledger) -> None:
    job = job_of(ledger.pool, "one")
    ledger.write(ledger.accepted(job))
    for _ in range(2):
        ledger.write(e.JobDuplicated(job, 9, "k9"))
    for record in ledger.records:
        with engine.begin() as connection:
            projection.apply(connection, ledger.pool, *record)
            copies = queries.job_copies(connection, job)
    assert [copy.offset for copy in copies] == [1, 9]


def test_a_page_goes_on_after_a_job_of_any_time(engine: Engine, ledger: Ledger) -> None:
    jobs = [job_of(ledger.pool, str(number)) for number in range(3)]
    for job, submitted_ms in zip(jobs, (2**63 - 1, 0, -(2**63)), strict=True):
        ledger.write(msgspec.structs.replace(ledger.accepted(job, tenant=ledger.pool), submitted_ms=submitted_ms))
    found: list[str] = []
    with engine.begin() as connection:
        projection.apply_all(connection, ledger.pool, ledger.records)
        cursor = ""
        for _ in jobs:
            page = queries.jobs(connection, ledger.pool, limit=1, cursor=cursor)
            found += [row.job for row in page.jobs]
            cursor = page.cursor
    assert found == jobs


@settings(max_examples=int(os.environ.get("EXAMPLES", "12")), suppress_health_check=list(HealthCheck))
@given(STEPS, WILDS, CUTS)
def test_postgres_takes_whatever_a_ledger_holds(
    engine: Engine, steps: list[Step], wilds: list[Wild], cuts: list[tuple[str, int]]
) -> None:
    """And keeps what the tables in memory do, which are held against the scheduler's state."""
    check_stored(engine, cut_up(gone_wild(live_twice(POLICY, steps).batches, wilds), cuts))


@settings(max_examples=int(os.environ.get("EXAMPLES", "12")), suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32 - 1), WILDS, CUTS)
def test_and_what_it_holds_of_media(engine: Engine, seed: int, wilds: list[Wild], cuts: list[tuple[str, int]]) -> None:
    check_stored(engine, cut_up(gone_wild(MediaStory(seed).run(60).batches, wilds), cuts))


def check_stored(engine: Engine, batches: list[Batch]) -> None:
    pool = "p" + uuid.uuid4().hex[:12]
    ledger, tables = Ledger(pool), Tables(pool)
    for batch in batches:
        record = ledger.copy(renamed(batch, pool))
        tables.take([(record.offset, record.batch)])
    half = len(ledger.records) // 2
    for records in (ledger.records[:half], ledger.records[half:]):
        with engine.begin() as connection:
            projection.apply_all(connection, pool, records)
    for counts, shown in ((tables.in_clusters, tables.clusters), (tables.in_nodes, tables.nodes)):
        for key in [key for key in counts if key[0] not in shown]:
            del counts[key]  # nothing shows what is open where no row is
    assert stored(engine, pool) == tables.all_rows()
    with engine.begin() as connection:
        queries.policies(connection)
        queries.clusters(connection)
        projection.forget(connection, pool)


def renamed(batch: Batch, pool: str) -> Batch:
    """The batch and its jobs under the name of another pool, because tests share a database."""
    return decode_batch(encode(batch).replace(f'"{POOL}'.encode(), f'"{pool}'.encode()))


def stored(engine: Engine, pool: str) -> dict[str, object]:
    """As `Tables.all_rows`."""
    with engine.connect() as connection:

        def rows_of(table: str) -> list[dict[str, object]]:
            found = connection.execute(text(f"SELECT to_jsonb(t) FROM views.{table} t WHERE pool = :p"), {"p": pool})
            return list(found.scalars())

        def keyed(table: str, *names: str) -> dict[str, object]:
            fields = [column.name for column in columns_of(ROWS[table])]
            found: dict[str, object] = {}
            for row in rows_of(table):
                key = tuple(row[name] for name in names) if len(names) > 1 else row[names[0]]
                found[str(key)] = {field: row[field] for field in fields}
            return found

        def in_flight(table: str, name: str) -> dict[str, object]:
            found = rows_of(table)
            return {str((row[name], s)): row[s] for row in found for s in ("staged", "running") if row[s]}

        counts = {str((r["tenant"], r["tier"], r["state"])): r["jobs"] for r in rows_of("job_counts") if r["jobs"]}
        policies = [{c.name: row[c.name] for c in columns_of(rows.PolicyRow)} for row in rows_of("policies")]
        return {
            "jobs": keyed("jobs", "job"),
            "attempts": keyed("attempts", "job", "attempt"),
            "events": keyed("job_events", "job", "seq", "index"),
            "copies": keyed("job_copies", "job", "offset"),
            "nodes": keyed("nodes", "node"),
            "clusters": keyed("clusters", "cluster"),
            "versions": keyed("versions", "model", "version"),
            "withdrawals": keyed("withdrawals", "model", "version"),
            "aliases": keyed("aliases", "model", "alias"),
            "counts": counts,
            "in_clusters": in_flight("clusters", "cluster"),
            "in_nodes": in_flight("nodes", "node"),
            "counters": {str(row["name"]): row["value"] for row in rows_of("counters")},
            "policy": policies[0] if policies else None,
        }


# -- what the database refuses all the same ------------------------------------------------------------------------


@contextmanager
def refusing(engine: Engine, table: str, rule: str) -> Iterator[None]:
    """Postgres takes no such row, which nobody here knows."""
    name = "refused_" + uuid.uuid4().hex[:8]
    with engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE views.{table} ADD CONSTRAINT {name} CHECK ({rule}) NOT VALID"))
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE views.{table} DROP CONSTRAINT {name}"))


@pytest.mark.parametrize(
    ("table", "rule"),
    [
        ("jobs", "model <> 'poison'"),
        ("attempts", "bound <> 'poison'"),
        ("job_events", "words NOT LIKE '%poison%'"),
        ("job_copies", "key <> 'poison'"),
    ],
)
def test_a_job_whose_rows_are_refused_is_set_aside(engine: Engine, ledger: Ledger, table: str, rule: str) -> None:
    bad, good = job_of(ledger.pool, "bad"), job_of(ledger.pool, "good")
    poison = msgspec.structs.replace(
        ledger.accepted(bad), model="poison", key="poison", version="poison", submitted_ms=5
    )
    ledger.write(poison, ledger.accepted(good))
    ledger.write(msgspec.structs.replace(ledger.dispatched(bad), bound="poison"), ledger.dispatched(good, index=1))
    with refusing(engine, table, rule):
        with pytest.raises(psycopg.Error) as refused, engine.begin() as connection:
            projection.apply_all(connection, ledger.pool, ledger.records)
        assert is_refusal(refused.value)
        with engine.begin() as connection:
            applied = projection.apply_all(connection, ledger.pool, ledger.records, carefully=True)
            row, other = (queries.any_job(connection, job) for job in (bad, good))
            nodes = {node.node: node.staged for node in queries.nodes(connection) if node.pool == ledger.pool}
    assert [omission.job for omission in applied.omissions] == [bad]
    assert row is not None
    assert other is not None
    assert (row.state, row.tenant, other.state) == ("unreadable", "acme", "dispatched")
    assert row.reason.endswith("the database refused a row of it: CheckViolation")
    assert nodes == {"n-1": 1}
    ledger.write(ledger.started(bad), ledger.started(good))
    with engine.begin() as connection:
        projection.apply_all(connection, ledger.pool, ledger.records)
        states = [row.state for job in (bad, good) if (row := queries.any_job(connection, job))]
    assert states == ["unreadable", "started"]


def test_a_job_of_which_nothing_is_taken_is_left_out(engine: Engine, ledger: Ledger) -> None:
    bad, good = job_of(ledger.pool, "bad"), job_of(ledger.pool, "good")
    ledger.write(ledger.accepted(bad), ledger.accepted(good))
    with refusing(engine, "jobs", f"job <> '{bad}'"), engine.begin() as connection:
        projection.apply_all(connection, ledger.pool, ledger.records, carefully=True)
        assert queries.any_job(connection, bad) is None
        assert queries.any_job(connection, good) is not None
        counted = connection.execute(text("SELECT sum(jobs) FROM views.job_counts WHERE pool = :p"), {"p": ledger.pool})
        assert counted.scalar_one() == 1


def test_a_row_that_is_no_jobs_is_left_out(engine: Engine, ledger: Ledger) -> None:
    job = job_of(ledger.pool, "one")
    ledger.admit("n-2", cluster="poison")
    ledger.write(ledger.accepted(job))
    with refusing(engine, "nodes", "cluster <> 'poison'"), engine.begin() as connection:
        applied = projection.apply_all(connection, ledger.pool, ledger.records, carefully=True)
        nodes = {node.node for node in queries.nodes(connection) if node.pool == ledger.pool}
        row = queries.any_job(connection, job)
    assert (nodes, len(applied.omissions)) == ({"n-1"}, 1)
    assert row is not None


def test_what_the_scheduler_door_takes_can_be_shown(engine: Engine, ledger: Ledger) -> None:
    """A submission at the bounds of the door, and the row that it becomes."""
    job = job_of(ledger.pool, "one")
    edge = Submission(job, "t" * 63, "free", "m" * 63, "sha256:" + "d" * 64, "kafka", TIME_MS_MAX, NUMBER_MAX)
    wire = encode(JobSubmitted(edge, msgspec.Raw(b"{}"), "0" * 32))
    taken = decode_input(wire)
    assert isinstance(taken, JobSubmitted)
    body = taken.submission
    ledger.write(
        e.JobAccepted(
            *(body.job, body.tenant, body.tier, body.model, VERSION, body.submitted_ms, body.expires_ms),
            *(NUMBER_MAX, "k", body.digest),
        )
    )
    with engine.begin() as connection:
        assert projection.apply_all(connection, ledger.pool, ledger.records).omissions == []
        row = queries.any_job(connection, job)
    assert row is not None
    assert (row.state, row.expires_ms) == ("queued", NUMBER_MAX)
