"""A job whose id came again after it was forgotten: two lives of one id."""

from __future__ import annotations

from contract import events as said
from contract import inputs
from tests.unit.audit.ledger import POLICY, Ledger, job_of

AGE_MS = POLICY.submission_age_max_ms + 60_000


JOB = job_of(1)


def live(ledger: Ledger, waits_ms: int) -> None:
    """The job lives once: it is submitted, waits for `waits_ms`, runs and succeeds."""
    ledger.submit(1)
    ledger.decide()
    dispatch = ledger.dispatch_of(1)
    ledger.decide(passed_ms=waits_ms, elapsed_ms=0)
    ledger.report(inputs.Started(JOB, dispatch))
    ledger.decide(passed_ms=2_000, elapsed_ms=0)
    ledger.report(inputs.Succeeded(JOB, dispatch, "sha256:" + "e" * 64))


def lived_twice(first_ms: int = 30_000, second_ms: int = 7_000) -> Ledger:
    ledger = Ledger()
    ledger.set_up()
    live(ledger, first_ms)
    ledger.decide(passed_ms=AGE_MS, elapsed_ms=0)
    live(ledger, second_ms)
    assert sum(isinstance(event, said.JobAccepted) for event in events_of(ledger)) == 2
    return ledger


def events_of(ledger: Ledger) -> list[said.Event]:
    return [event for offset in range(len(ledger.records)) for event in ledger.batch(offset).events]
