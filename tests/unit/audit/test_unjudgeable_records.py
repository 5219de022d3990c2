"""Records that nobody can judge, and times that no calendar has: findings with a place, never errors of ours."""

from __future__ import annotations

import msgspec
import pytest

from audit.story import render as told
from audit.story import story
from audit.verify.verdict import render
from contract import events as said
from contract import inputs
from contract.batch import hash_of
from contract.names import payload_digest
from scheduling import snapshot
from scheduling.evolve import fold
from scheduling.state.pool import initial_state
from tests.unit.audit.ledger import POOL, SALT, Ledger
from tests.unit.audit.lives import JOB, lived_twice
from tests.unit.audit.verdicts import verified


@pytest.mark.parametrize("at_ms", [10**15, 2**63, -(2**70), 10**4298])
def test_whatever_a_ledger_holds_as_a_time_is_told(at_ms: int) -> None:
    """Case X-expires: `audit story` ended in an error of the calendar."""
    ledger = Ledger()
    ledger.set_up()
    body = inputs.Submission(JOB, "acme", "free", "film", payload_digest(SALT, b"{}"), "api", expires_ms=at_ms)
    ledger.say(inputs.JobSubmitted(body, msgspec.Raw(b"{}"), SALT))
    ledger.decide()
    text = told(story(JOB, ledger.source))
    assert "which no calendar has" in text or at_ms < 0
    verdict = verified(ledger)
    assert verdict.clean, render(verdict)


def test_a_record_that_cannot_be_judged_is_found_and_the_state_is_that_before() -> None:
    """Whatever goes wrong over an edited record is a finding with the record's place, never an error of ours."""
    ledger = lived_twice()
    at = next(at for at in range(len(ledger.records)) if any(_is(ledger, at, said.AttemptStarted)))
    edited = msgspec.structs.replace(ledger.batch(at), events=(said.NodeHeard("nobody", "s"),), now_ms=10**4299)
    ledger.rewrite(at, edited)
    verdict = verified(ledger)
    assert not verdict.clean
    assert verdict.trusted_offset < at
    before = initial_state(POOL)
    for offset in range(at):
        fold(before, ledger.batch(offset), hash_of(ledger.records[offset].value), offset)
    assert (verdict.head_seq, verdict.state_hash) == (before.seq, snapshot.state_hash(before))


def _is(ledger: Ledger, at: int, kind: type) -> list[bool]:
    return [isinstance(event, kind) for event in ledger.batch(at).events]
