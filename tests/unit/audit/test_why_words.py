"""What the owner of a job may read of its wait, and what only operators may read."""

from __future__ import annotations

import msgspec

from audit.waits.sentences import Why, explained
from audit.waits.wait import Wait
from contract import events as said
from tests.unit.audit.ledger import SECRET, job_of
from tests.unit.audit.waits import Written


def shown_to_owner(wait: Wait) -> Why:
    shown = explained(wait, operator=False)
    text = msgspec.json.encode(shown).decode()
    assert "globex" not in text
    assert "initech" not in text
    assert SECRET not in text
    return shown


def test_an_owner_reads_no_other_tenants_name_and_no_job_of_theirs() -> None:
    pool = Written()
    pool.write(pool.accept(1, tenant="globex"), pool.accept(2, tenant="initech"), pool.accept(4))
    pool.write(pool.accept(3), pool.dispatch(1, 1), pool.dispatch(2, 2))
    pool.write(after_ms=1_000)
    pool.start(1, 2)
    pool.write(*pool.succeed(1, 2), pool.dispatch(4, 2))
    pool.write(after_ms=500)
    pool.write(said.GangReserved(job_of(8), "east", ("n-1",)))
    shown = shown_to_owner(pool.wait(3))
    others = [cause for cause in shown.causes if cause.cause == "outranked" and not cause.tenant]
    assert [(cause.jobs, cause.words) for cause in others] == [(2, "2 jobs of tier free of other tenants went first")]
    own = [cause for cause in shown.causes if cause.tenant == "acme"]
    assert [cause.jobs for cause in own] == [1]
    named = explained(pool.wait(3), operator=True)
    assert {cause.tenant for cause in named.causes if cause.cause == "outranked"} == {"globex", "initech", "acme"}
    assert named.wait_ms == shown.wait_ms


def test_the_job_it_stands_behind_is_named_to_operators_and_to_its_own_tenant() -> None:
    pool = Written()
    pool.write(pool.accept(1, tenant="globex"), pool.accept(2), pool.accept(3), pool.accept(4))
    pool.write(pool.dispatch(1, 0), pool.dispatch(2, 1), pool.dispatch(3, 2))
    pool.start(1, 2)
    pool.write(after_ms=1_000)
    assert [c.job for c in explained(pool.wait(3), operator=True).causes if c.cause == "staged_behind"] == [job_of(1)]
    behind = [cause for cause in shown_to_owner(pool.wait(3)).causes if cause.cause == "staged_behind"]
    assert [(cause.job, cause.tenant) for cause in behind] == [("", "")]
    assert "behind another job" in behind[0].words
