"""What `verify` finds clean, and what it says of rules that this release does not have."""

from __future__ import annotations

import pytest

from audit.verify.jobs_topic import JobsTopic
from audit.verify.verdict import Anchor, render
from audit.verify.verification import Witnesses, verify
from contract.names import payload_digest
from scheduling import RULES, snapshot
from tests.simulation.signatures import headers_of
from tests.simulation.world import World
from tests.unit.audit.ledger import POOL, SALT, SECRET, job_of, lived_in
from tests.unit.audit.verdicts import verified


def test_a_ledger_that_was_lived_in_is_clean() -> None:
    ledger = lived_in()
    witnesses = Witnesses(jobs_topic=JobsTopic(ledger.jobs, 0), acknowledged=[job_of(1), job_of(2), job_of(3)])
    verdict = verified(ledger, witnesses)
    assert verdict.clean, render(verdict)
    assert verdict.counted == len(ledger.records)
    assert verdict.decided == len(ledger.records) - 2  # the two Opened are no decisions
    assert verdict.submissions == 4
    assert verdict.jobs == 3
    assert verdict.trusted_offset == verdict.last_offset == len(ledger.records) - 1
    assert verdict.state_hash == snapshot.state_hash(ledger.state)
    assert "clean" in render(verdict)


def test_an_empty_ledger_is_clean() -> None:
    verdict = verify(lambda: iter(()), POOL)
    assert verdict.clean
    assert verdict.counted == 0
    assert render(verdict) == f"ledger of pool {POOL}: empty, no scheduler has opened the pool yet"


@pytest.mark.parametrize("seed", [3, 18, 76])
def test_ledgers_of_the_simulation_are_clean_with_zombies_and_takeovers(seed: int) -> None:
    from audit.ledger.reader import JobsRecord, LedgerRecord

    world = World(seed)
    world.run()
    records = [LedgerRecord(r.offset, r.append_ms, r.value or b"") for r in world.broker.topic("ledger")]
    jobs = [
        JobsRecord(r.offset, r.append_ms, r.key, r.value, headers_of(r.key, r.value))
        for r in world.broker.topic("jobs")
        if r.value
    ]
    anchors = [Anchor(f"snapshot {at}", at, name, data) for at, name, data in world.snapshots.stored]
    witnesses = Witnesses(anchors, JobsTopic(jobs, 0), world.api.acknowledged)
    verdict = verify(lambda: iter(records), POOL, witnesses)
    assert verdict.clean, render(verdict)
    assert verdict.counted == len(world.auditor.counted)
    assert verdict.ignored == len(records) - verdict.counted
    assert set(verdict.anchors) == {anchor.source for anchor in anchors}


def test_batches_of_other_rules_are_counted_and_their_release_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = lived_in()
    monkeypatch.setattr("audit.verify.redecide.RULES", 99)
    verdict = verified(ledger)
    assert verdict.clean, render(verdict)
    assert verdict.decided == 0
    assert [(part.rules, part.release, part.batches) for part in verdict.unknown] == [
        (RULES, "test", len(ledger.records) - 2)
    ]
    assert "release test, which wrote them, can decide them again" in render(verdict)


def test_no_verdict_quotes_a_user() -> None:
    ledger = lived_in()
    assert payload_digest(SALT, b"{}") in ledger.records[2].value.decode()
    for record in ledger.records:
        assert SECRET.encode() not in record.value
    ledger.edit(4, ledger.records[4].value.replace(b'"elapsed_ms":', b'"elapsed_ms": '))
    assert SECRET not in render(verified(ledger))
