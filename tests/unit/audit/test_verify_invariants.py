"""Invariants that deciding again would not show: records as a scheduler with other rules could have written them."""

from __future__ import annotations

import msgspec

from audit.verify.verdict import Verdict
from contract import events as said
from contract import inputs
from contract.codec import encode
from tests.unit.audit.ledger import Ledger, job_of, lived_in
from tests.unit.audit.verdicts import verified


def _forged(ledger: Ledger, *events: said.Event, **header: object) -> Verdict:
    """A last record with these events, as a scheduler with other rules could have written it."""
    state = ledger.state
    batch = ledger.batch(len(ledger.records) - 1)
    batch = msgspec.structs.replace(
        batch,
        seq=state.seq + 1,
        prev_hash=state.head_hash,
        inputs=(),
        position=state.position,
        events=events,
        now_ms=ledger.now_ms,
        elapsed_ms=0,
        **header,
    )
    ledger.records.append(ledger.records[-1]._replace(offset=len(ledger.records), value=encode(batch)))
    return verified(ledger)


def test_an_event_after_the_end_is_found() -> None:
    verdict = _forged(lived_in(), said.JobCancelled(job_of(1), "cancel"))
    assert ("I2", job_of(1)) in [(f.invariant, f.job) for f in verdict.findings]


def test_a_second_acceptance_is_found() -> None:
    ledger = lived_in()
    accepted = next(
        event
        for at in range(len(ledger.records))
        for event in ledger.batch(at).events
        if type(event) is said.JobAccepted
    )
    assert "I2" in [f.invariant for f in _forged(ledger, accepted).findings]


def test_a_dispatch_over_the_limit_and_out_of_turn_is_found() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1)
    ledger.decide()
    dispatched = said.JobDispatched(
        job=job_of(1),
        attempt=3,
        dispatch="1.1.0",
        node="n1",
        session="n1.a",
        cluster="east",
        waited_ms=0,
        slo_ms=1,
        next_job="",
        next_waited_ms=0,
        next_slo_ms=0,
        limit=9,
        staged=9,
        bound="nothing",
    )
    found = {f.invariant for f in _forged(ledger, dispatched).findings}
    assert "I6" in found


def test_a_node_given_up_within_its_lease_is_found() -> None:
    ledger = Ledger()
    ledger.set_up()
    found = [f for f in _forged(ledger, said.NodeLost("n1", "n1.a"), caught_up=False).findings if f.invariant == "I16"]
    assert len(found) == 2, "too early, and without having read `jobs` to its end"


def test_a_result_that_nobody_reported_is_found() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1)
    ledger.decide()
    dispatch = ledger.dispatch_of(1)
    ledger.report(inputs.Started(job_of(1), dispatch))
    verdict = _forged(ledger, said.JobSucceeded(job_of(1), dispatch, "sha256:" + "e" * 64))
    assert "I8" in [f.invariant for f in verdict.findings]
