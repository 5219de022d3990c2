"""An id that comes again after it was forgotten is another life of the job: `verify` takes it and judges each life."""

from __future__ import annotations

from itertools import islice, pairwise

import msgspec
import pytest

from audit.verify.second_book import SecondBook
from audit.verify.verdict import render
from audit.verify.verification import Witnesses
from contract import events as said
from contract import inputs
from contract.policy import fingerprint
from scheduling.evolve import fold
from scheduling.state.pool import initial_state
from tests.unit.audit.ledger import POLICY, POOL, Ledger, job_of
from tests.unit.audit.lives import AGE_MS, JOB, events_of, live, lived_twice
from tests.unit.audit.verdicts import verified


def test_verify_is_clean_and_counts_each_life() -> None:
    ledger = lived_twice()
    verdict = verified(ledger, Witnesses(acknowledged=[JOB]))
    assert verdict.clean, render(verdict)
    assert (verdict.jobs, verdict.jobs_open) == (2, 0)


def test_a_promise_of_a_job_that_was_forgotten_since_is_kept() -> None:
    ledger = lived_twice()
    ledger.decide(passed_ms=2 * AGE_MS, elapsed_ms=0)
    ledger.decide()
    assert JOB not in ledger.state.ended
    assert verified(ledger, Witnesses(acknowledged=[JOB])).clean
    lost = verified(ledger, Witnesses(acknowledged=[JOB, job_of(2)])).findings
    assert [(finding.invariant, finding.job) for finding in lost] == [("I1", job_of(2))]


@pytest.mark.parametrize("too_soon_ms", [1, 60_000, POLICY.submission_age_max_ms])
def test_a_life_that_begins_too_soon_is_found(too_soon_ms: int) -> None:
    """The scheduler that accepted the second life forgot the id too soon."""
    ledger = Ledger()
    ledger.set_up()
    live(ledger, 0)
    accepted = next(event for event in events_of(ledger) if isinstance(event, said.JobAccepted))
    at = len(ledger.records)
    minute_ends_ms = ledger.now_ms - ledger.now_ms % 60_000 + 60_000
    passed_ms = minute_ends_ms + POLICY.submission_age_max_ms - too_soon_ms - ledger.now_ms
    ledger.decide(passed_ms=passed_ms, elapsed_ms=0)
    ledger.rewrite(at, msgspec.structs.replace(ledger.batch(at), events=(accepted,)))
    findings = verified(ledger).findings
    assert (findings[0].offset, findings[0].invariant, findings[0].job) == (at, "I2", JOB)
    assert findings[0].text == "JobAccepted of a job that the ledger knows already"


def test_the_second_book_forgets_what_the_scheduler_does() -> None:
    """Both forget an id at the same record: by the minute, at most so many a batch, by the policy in force until
    then."""
    ledger, book, state = Ledger(), SecondBook(), initial_state(POOL)
    shorter = msgspec.structs.replace(POLICY, submission_age_max_ms=90_000)
    ledger.set_up()
    ledger.decide(inputs.PolicyApplied(shorter, fingerprint(shorter)))
    numbers = iter(range(9_999))
    for step in range(30):
        for part in range(22 if step == 5 else 1):
            cancels = []
            for number in islice(numbers, 100 if step == 5 else 4):
                ledger.submit(number)
                cancels.append(inputs.CancelRequested(job_of(number)))
            ledger.decide(*cancels, passed_ms=0 if part else 17_000, elapsed_ms=0)
        if step == 20:
            ledger.decide(inputs.PolicyApplied(POLICY, fingerprint(POLICY)))
    held = []
    for offset in range(len(ledger.records)):
        batch = ledger.batch(offset)
        assert not book.take(offset, batch)
        fold(state, batch, "", offset)
        assert list(book.ended) == list(state.ended), offset
        held.append(len(book.ended))
    fewer = [before - after for before, after in pairwise(held) if before > after]
    assert max(fewer) == 2_000 - 4, "2,000 a batch"
    assert len(fewer) > 3
    assert held[-1] > held[-2] > held[-3], "by the longer age nothing is forgotten yet"


def test_each_result_is_looked_up() -> None:
    ledger = lived_twice()
    dispatches = [event.dispatch for event in events_of(ledger) if isinstance(event, said.JobSucceeded)]
    findings = verified(ledger, Witnesses(store=Nothing())).findings
    assert [finding.invariant for finding in findings] == ["I8", "I8"]
    assert all(dispatch in finding.text for dispatch, finding in zip(dispatches, findings, strict=True))


class Nothing:
    """An object store that has lost everything."""

    def get(self, key: str, bytes_max: int) -> bytes:
        raise KeyError(key)

    def exists(self, key: str) -> bool:
        return False
