"""An id that comes again after it was forgotten is a new life of the job (design section 4, Once is once)."""

from __future__ import annotations

import pytest

from contract import events as e
from contract.inputs import CancelRequested, EraseRequested, ErasureCompleted
from contract.lifecycle import TERMINAL, JobState
from tests.unit.scheduling.specification import POLICY, POOL, Pool, a_job, names, submission
from tests.unit.views.ledger import Ledger, job_of
from tests.unit.views.tables import Tables

JOB = a_job(1)
AGE_MS = POLICY.submission_age_max_ms + 120_000


def lived_once() -> Pool:
    """A real scheduler's ledger in which a job failed once and then succeeded."""
    pool = Pool()
    pool.publish()
    pool.join("n1")
    pool.tell(submission(1))
    pool.start(JOB)
    pool.fail(JOB)
    pool.tick(10_000)
    pool.start(JOB)
    pool.succeed(JOB)
    return pool


def tables_of(pool: Pool, *, at_once: bool = False) -> Tables:
    tables, records = Tables(POOL), list(enumerate(pool.batches))
    if at_once:
        tables.take(records)
    else:
        for record in records:
            tables.take([record])
    return tables


def lives_again(pool: Pool) -> None:
    pool.tick(AGE_MS, lease_ms=0)
    assert names(pool.tell(submission(1)))[0] == "JobAccepted", "the scheduler had forgotten the id"


@pytest.mark.parametrize("at_once", [False, True])
def test_the_row_begins_anew(at_once: bool) -> None:
    pool = lived_once()
    first = tables_of(pool)
    assert (first.jobs[JOB].state, first.jobs[JOB].attempts, first.jobs[JOB].failures) == ("succeeded", 2, 1)
    pool.join("n1", session="s2")
    lives_again(pool)
    pool.start(JOB, session="s2")
    tables = tables_of(pool, at_once=at_once)
    row = tables.jobs[JOB]
    assert (row.state, row.attempts, row.failures, row.failure, row.ended_ms) == ("started", 1, 0, "", None)
    assert (row.result_dispatch, row.result_manifest, row.submitted_ms) == ("", "", pool.now_ms)
    assert list(tables.attempts) == [(JOB, 1)]
    assert [event.event for event in tables.events.values()] == ["JobAccepted", "JobDispatched", "AttemptStarted"]
    assert sorted(tables.events)[0][1] > max(seq for _, seq, _ in first.events), "a feed goes on after what it showed"
    assert {key: count for key, count in tables.counts.items() if count} == {("acme", "free", "started"): 1}
    assert tables.in_nodes["n1", "running"] == 1
    assert not tables.omissions


def test_a_copy_before_that_is_a_duplicate_and_the_row_stays() -> None:
    pool = lived_once()
    pool.tick(AGE_MS - 200_000, lease_ms=0)
    assert names(pool.tell(submission(1))) == ["JobDuplicated"]
    assert tables_of(pool).jobs[JOB].state == "succeeded"


def test_a_new_life_may_be_refused() -> None:
    pool = lived_once()
    pool.tick(AGE_MS, lease_ms=0)
    assert names(pool.tell(submission(1, model="absent"))) == ["JobRefused"]
    tables = tables_of(pool)
    row = tables.jobs[JOB]
    assert (row.state, row.reason, row.model, row.attempts) == ("refused", "unknown_model", "absent", 0)
    assert not tables.attempts
    assert {key: count for key, count in tables.counts.items() if count} == {("acme", "free", "refused"): 1}


def test_an_erasure_finds_the_copies_of_every_life_and_marks_its_own() -> None:
    pool = lived_once()
    pool.tell(EraseRequested(JOB), ErasureCompleted(JOB, (4,), pool.now_ms + 5_000))
    erased = tables_of(pool)
    assert erased.jobs[JOB].erasure == "erased"
    lives_again(pool)
    tables = tables_of(pool)
    row = tables.jobs[JOB]
    assert (row.erasure, row.gone_by_ms) == ("", None), "the words of this life are there"
    assert not [event for event in tables.events.values() if event.event == "JobErased"], "nothing says they are gone"
    assert len(tables.copies) == 2
    assert tables.copies.keys() > erased.copies.keys()
    pool.tell(EraseRequested(JOB), CancelRequested(JOB))
    assert tables_of(pool).jobs[JOB].erasure == "ordered"


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_nothing_else_may_happen_to_an_ended_job(state: JobState) -> None:
    """The job is set aside, its events are passed over, and another life of it can be read again."""
    job = job_of("main", "one")
    ledger = Ledger("main")
    ledger.adopt()
    ledger.write(ledger.accepted(job))
    tables = Tables("main")
    tables.take([(record.offset, record.batch) for record in ledger.records])
    tables.jobs[job].state = state.value
    for event in (ledger.dispatched(job), e.AttemptStarted(job, "1.2.0"), e.JobExpired(job)):
        record = ledger.write(event)
        tables.take([(record.offset, record.batch)])
        assert tables.jobs[job].state == "unreadable"
    (omission,) = tables.omissions
    assert (omission.job, omission.offset) == (job, ledger.records[2].offset)
    assert tables.jobs[job].reason == f"ledger offset {omission.offset}: {omission.reason}"
    assert omission.reason.startswith(f"JobDispatched in state {state.value}; expected one of")
    record = ledger.write(ledger.accepted(job))
    tables.take([(record.offset, record.batch)])
    assert (tables.jobs[job].state, tables.jobs[job].reason) == ("queued", "")


def test_an_unreadable_job_that_is_pinned_anew_loads_its_new_version() -> None:
    """What a node has loaded is shown rightly, whatever cannot be shown of the job that it ran."""
    job, version = job_of("main", "one"), "sha256:" + "9" * 64
    ledger = Ledger("main")
    ledger.adopt()
    ledger.admit("n-1")
    ledger.write(ledger.accepted(job), e.JobExpired(job), e.JobRepinned(job, version))
    ledger.write(ledger.dispatched(job))
    ledger.write(ledger.started(job))
    tables = Tables("main")
    tables.take([(record.offset, record.batch) for record in ledger.records])
    assert tables.jobs[job].state == "unreadable"
    assert tables.nodes["n-1"].loaded == (version,)
