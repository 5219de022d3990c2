"""What the api acknowledged before the ledger names it."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from contract import events as e
from tests.unit.views.ledger import Ledger, job_of
from views import projection, queries, receipts
from views.receipts import ReceiptState

WORDS = b'{"prompt":"a heron at dawn"}'


def acknowledge(engine: Engine, job: str, request: bytes = WORDS) -> None:
    with engine.begin() as connection:
        receipts.acknowledge(connection, job, "acme", "free", "noop@live", 1_234, 0, request)


def reserve(engine: Engine, job: str, request: bytes = WORDS) -> ReceiptState:
    with engine.begin() as connection:
        return receipts.reserve(connection, job, "acme", request)


def test_an_acknowledged_job_is_found_before_any_scheduler_names_it(engine: Engine, ledger: Ledger) -> None:
    job = job_of(ledger.pool, ledger.pool)
    acknowledge(engine, job)
    with engine.connect() as connection:
        row = queries.job(connection, "acme", job)
        assert row is not None
        assert (row.state, row.model, row.submitted_ms) == ("submitted", "noop@live", 1_234)
        assert queries.job(connection, "globex", job) is None
    ledger.write(ledger.accepted(job))
    with engine.begin() as connection:
        projection.apply_all(connection, ledger.pool, ledger.records)
        row = queries.job(connection, "acme", job)
        assert row is not None
        assert (row.state, row.model) == ("queued", "noop")


def test_the_ledgers_row_wins_over_a_late_receipt(engine: Engine, ledger: Ledger) -> None:
    job = job_of(ledger.pool, ledger.pool)
    ledger.run(job)
    with engine.begin() as connection:
        projection.apply_all(connection, ledger.pool, ledger.records)
    acknowledge(engine, job)
    with engine.connect() as connection:
        row = queries.job(connection, "acme", job)
    assert row is not None
    assert row.state == "succeeded"


def test_a_key_goes_from_new_to_unclear_to_acknowledged(engine: Engine, ledger: Ledger) -> None:
    job = job_of(ledger.pool, ledger.pool)
    assert reserve(engine, job) is ReceiptState.NEW
    assert reserve(engine, job) is ReceiptState.UNCLEAR
    acknowledge(engine, job)
    assert reserve(engine, job) is ReceiptState.ACKNOWLEDGED


def test_a_job_that_only_the_ledger_knows_is_acknowledged(engine: Engine, ledger: Ledger) -> None:
    job = job_of(ledger.pool, ledger.pool)
    ledger.write(ledger.accepted(job))
    with engine.begin() as connection:
        projection.apply_all(connection, ledger.pool, ledger.records)
    assert reserve(engine, job) is ReceiptState.ACKNOWLEDGED


def test_another_request_under_the_same_key_is_noticed(engine: Engine, ledger: Ledger) -> None:
    job = job_of(ledger.pool, ledger.pool)
    acknowledge(engine, job)
    with pytest.raises(receipts.OtherRequest):
        reserve(engine, job, b"something else")
    assert reserve(engine, job) is ReceiptState.ACKNOWLEDGED


def test_a_key_used_again_in_another_pool_is_noticed(engine: Engine, ledger: Ledger) -> None:
    job = job_of(ledger.pool, ledger.pool)
    acknowledge(engine, job)
    with pytest.raises(receipts.OtherRequest):
        reserve(engine, f"other-{receipts.bits_of(job)}", b"for a model of another pool")


def test_an_erasure_takes_the_fingerprint_and_bars_the_job(engine: Engine, ledger: Ledger) -> None:
    job = job_of(ledger.pool, ledger.pool)
    acknowledge(engine, job)
    ledger.run(job)
    ledger.write(e.ErasureOrdered(job))
    with engine.begin() as connection:
        projection.apply_all(connection, ledger.pool, ledger.records)
    with pytest.raises(receipts.WordsErased):
        reserve(engine, job)
    with engine.connect() as connection:
        others = [job_of(ledger.pool, "other"), "no id"]
        assert queries.erased_jobs(connection, [*others, job]) == {job}, "intake asks for many at once"
        assert queries.erased_jobs(connection, []) == frozenset()
    acknowledge(engine, job)  # a 202 that was under way while the erasure was folded
    with engine.connect() as connection:
        kept = connection.execute(
            text("SELECT salt, fingerprint FROM views.receipts WHERE request = :r"), {"r": receipts.bits_of(job)}
        ).one()
    assert tuple(kept) == ("", "")
    with engine.begin() as connection:
        projection.forget(connection, ledger.pool)
    with pytest.raises(receipts.WordsErased):  # also while the views are folded again
        reserve(engine, job)
    with pytest.raises(receipts.WordsErased):  # and for a model of another pool
        reserve(engine, f"other-{receipts.bits_of(job)}")


def test_no_row_holds_what_was_asked(engine: Engine, ledger: Ledger) -> None:
    job = job_of(ledger.pool, ledger.pool)
    acknowledge(engine, job)
    with engine.connect() as connection:
        for table, column, name in (("receipts", "request", receipts.bits_of(job)), ("jobs", "job", job)):
            row = connection.execute(
                text(f"SELECT to_jsonb(t)::text FROM views.{table} t WHERE {column} = :name"), {"name": name}
            ).scalar_one()
            assert "heron" not in row
