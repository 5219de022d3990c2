"""Jobs that ended long ago leave the views: only those, all that belongs to them, and the same whenever it is done."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, text

from contract import events as e
from contract.durations import DAY_MS
from operations import retention
from operations.retention import KeptTooShort, Pruned
from tests.unit.views.ledger import Ledger, job_of
from views import projection, queries, receipts
from views import retention as pages
from views.statements import FORGET

KEPT_MS = 40 * DAY_MS
TABLES = [statement.split()[2] for statement in FORGET]


def show(engine: Engine, ledger: Ledger) -> None:
    with engine.begin() as connection:
        projection.apply_all(connection, ledger.pool, ledger.records)


def contents(engine: Engine, pool: str) -> dict[str, list[str]]:
    """Every row of the pool; a count of nothing is none."""
    with engine.connect() as connection:
        rows = {
            table: connection.execute(text(f"SELECT to_jsonb(t)::text FROM {table} t WHERE pool = :p"), {"p": pool})
            for table in TABLES
        }
        found = {table: sorted(rows[table].scalars()) for table in TABLES}
    return {table: [row for row in rows if msgspec.json.decode(row).get("jobs") != 0] for table, rows in found.items()}


def acknowledged(engine: Engine, job: str) -> None:
    with engine.begin() as connection:
        receipts.acknowledge(connection, job, "acme", "free", "noop", 1_000_000, 0, b"a request")


def known(engine: Engine, job: str) -> bool:
    with engine.connect() as connection:
        return queries.any_job(connection, job) is not None


def test_what_ended_long_ago_goes_with_all_that_belongs_to_it(
    engine: Engine, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE_ROWS", 2)
    old = [job_of(ledger.pool, f"old {n}") for n in range(5)]
    waits, erasing, young = (job_of(ledger.pool, name) for name in ("waits", "erasing", "young"))
    for job in (*old, erasing, waits):
        acknowledged(engine, job)
    for job in (*old, erasing):
        ledger.run(job)
    ledger.write(ledger.accepted(waits), e.ErasureOrdered(erasing))
    ledger.now_ms += KEPT_MS
    ledger.run(young)
    show(engine, ledger)

    assert retention.prune(engine, {}, KEPT_MS).jobs == len(old)
    assert [job for job in (*old, waits, erasing, young) if known(engine, job)] == [waits, erasing, young]
    left = contents(engine, ledger.pool)
    for table in ("views.attempts", "views.job_events"):
        assert {msgspec.json.decode(row)["job"] for row in left[table]} <= {waits, erasing, young}
    counted = {row["state"]: row["jobs"] for row in map(msgspec.json.decode, left["views.job_counts"])}
    assert counted == {"queued": 1, "succeeded": 2}
    with engine.begin() as connection:
        assert receipts.reserve(connection, old[0], "acme", b"another") is receipts.ReceiptState.NEW
    with engine.connect() as connection, pytest.raises(receipts.OtherRequest):
        receipts.reserve(connection, waits, "acme", b"another")
    assert retention.prune(engine, {}, KEPT_MS).jobs == 0


def test_pruned_views_are_those_that_are_built_anew_and_pruned(engine: Engine, ledger: Ledger) -> None:
    twice, erased, gone = (job_of(ledger.pool, name) for name in ("twice", "erased", "gone"))
    for job in (twice, erased, gone):
        ledger.run(job)
    ledger.now_ms += KEPT_MS
    ledger.write(e.NodeHeard("n-1", "n1"))
    show(engine, ledger)
    assert retention.prune(engine, {}, KEPT_MS).jobs == 3
    # the scheduler has forgotten the ids: one is another life, one is erased by an operator
    ledger.run(twice)
    ledger.write(e.ErasureOrdered(erased), e.JobErased(erased, (), 77))
    show(engine, ledger)
    assert retention.prune(engine, {}, KEPT_MS).jobs == 0
    pruned = contents(engine, ledger.pool)
    with engine.begin() as connection:
        projection.forget(connection, ledger.pool)
    show(engine, ledger)
    assert known(engine, gone)
    assert retention.prune(engine, {}, KEPT_MS).jobs == 2
    assert contents(engine, ledger.pool) == pruned
    assert known(engine, twice)


def test_a_pool_that_stands_still_loses_nothing(engine: Engine, ledger: Ledger) -> None:
    ledger.run(job_of(ledger.pool, "one"))
    ledger.write(e.NodeHeard("n-1", "n1"), after_ms=KEPT_MS - 1)
    show(engine, ledger)
    assert retention.prune(engine, {}, KEPT_MS) == Pruned(0, 0)


def test_copies_go_when_the_broker_has_them_no_more(
    engine: Engine, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE_ROWS", 2)
    job, strange = job_of(ledger.pool, "one"), job_of(ledger.pool, "strange")
    ledger.run(job)
    ledger.write(*(e.JobDuplicated(job, offset, f"k{offset}") for offset in range(40, 45)))
    ledger.write(*(e.InputQuarantined(offset, "too old", strange, f"k{offset}") for offset in (39, 46)))
    show(engine, ledger)

    def copies() -> list[int]:
        with engine.connect() as connection:
            found: list[Any] = [*queries.job_copies(connection, job), *queries.job_copies(connection, strange)]
        return sorted(copy.offset for copy in found if copy.offset >= 39)

    assert retention.prune(engine, {ledger.pool: 43}, KEPT_MS).copies == 5, "at 1, 39, 40, 41 and 42"
    assert copies() == [43, 44, 46]


def test_a_time_in_which_an_id_or_a_copy_may_still_be_known_is_refused(engine: Engine, ledger: Ledger) -> None:
    ledger.run(job_of(ledger.pool, "one"))
    show(engine, ledger)
    with pytest.raises(KeptTooShort, match="34 days at least, because pool"):
        retention.prune(engine, {}, 34 * DAY_MS - 1)
