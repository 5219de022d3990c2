"""A policy on trial stays when its bound is kept. When the bound is missed, the policy before comes back as soon as the
bound is out of reach."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from contract.events import InputQuarantined, PolicyAdopted, PolicyReverted
from contract.inputs import Failed, PolicyApplied
from contract.policy import fingerprint
from scheduling import policy_trial, snapshot
from tests.unit.scheduling.specification import POLICY, Pool, a_job, only, submission

CANDIDATE = replace(POLICY, discipline="promise")
LATE_MS = 10_001
"""A wait of 1 ms more than the SLO of tier api."""


def a_trial(below_permille: int, jobs: int) -> Pool:
    pool = Pool()
    pool.publish()
    pool.join("n1")
    pool.tell(PolicyApplied(CANDIDATE, fingerprint(CANDIDATE), below_permille, jobs))
    return pool


def serve(pool: Pool, number: int, wait_ms: int = 0) -> None:
    """One job of tier api starts after this wait and succeeds."""
    pool.tell(submission(number, "api"))
    pool.beat("n1", "s1", after_ms=wait_ms)
    pool.start(a_job(number))
    pool.succeed(a_job(number))


def reversals(pool: Pool) -> list[PolicyReverted]:
    return [event for batch in pool.batches for event in batch.events if isinstance(event, PolicyReverted)]


def test_a_bound_that_is_kept_ends_the_trial_and_the_policy_stays() -> None:
    pool = a_trial(500, 4)
    for number, wait_ms in enumerate((LATE_MS, 0, LATE_MS, 0)):
        serve(pool, number, wait_ms)
    assert (pool.state.trial, reversals(pool)) == (None, [])
    for number in range(4, 8):
        serve(pool, number, LATE_MS)
    assert pool.state.policy == CANDIDATE


def test_it_goes_as_soon_as_the_bound_is_out_of_reach() -> None:
    pool = a_trial(500, 4)
    serve(pool, 0, LATE_MS)
    serve(pool, 1, LATE_MS)
    assert reversals(pool) == [], "two of four could still be in time"
    serve(pool, 2, LATE_MS)
    assert reversals(pool) == [PolicyReverted(POLICY, fingerprint(POLICY), attainment_permille=0, jobs=3)]
    assert (pool.state.policy, pool.state.fingerprint, pool.state.trial) == (POLICY, fingerprint(POLICY), None)


def test_a_wait_as_long_as_the_slo_is_in_time() -> None:
    pool = a_trial(1000, 1)
    serve(pool, 0, LATE_MS - 1)
    assert reversals(pool) == []


def test_a_retry_is_not_counted_again() -> None:
    pool = a_trial(1000, 2)
    pool.tell(submission(0, "api"))
    pool.start(a_job(0))
    pool.report(Failed(a_job(0), pool.dispatch(a_job(0)), "model_error"))
    pool.beat("n1", "s1", after_ms=10_000)
    pool.start(a_job(0))
    assert reversals(pool) == []
    assert pool.state.trial is not None
    assert pool.state.trial.started == 1


def test_the_policy_that_went_can_be_applied_again() -> None:
    pool = a_trial(1000, 1)
    serve(pool, 0, LATE_MS)
    assert only(pool.tell(PolicyApplied(CANDIDATE, fingerprint(CANDIDATE))), PolicyAdopted)


def test_a_policy_applied_without_a_bound_ends_the_trial() -> None:
    pool = a_trial(1000, 2)
    other = replace(POLICY, failures_max=9)
    pool.tell(PolicyApplied(other, fingerprint(other)))
    serve(pool, 0, LATE_MS)
    assert (pool.state.policy, reversals(pool)) == (other, [])


def test_the_trial_goes_on_over_a_takeover() -> None:
    pool = a_trial(1000, 3)
    serve(pool, 0)
    again = snapshot.decode(snapshot.encode(pool.state))
    assert again.trial == pool.state.trial
    assert again.trial is not None
    assert (again.trial.started, again.trial.kept) == (1, 1)


def test_the_first_policy_of_a_pool_has_none_to_go_back_to() -> None:
    pool = Pool(policy=None)
    pool.tell(PolicyApplied(POLICY, fingerprint(POLICY), 1000, 1))
    assert pool.state.trial is None


@pytest.mark.parametrize("bound", [(0, 5), (5, 0), (1001, 5), (-1, 5), (5, -1)])
def test_a_bound_that_is_none_is_quarantined(bound: tuple[int, int]) -> None:
    pool = Pool()
    (event,) = only(pool.tell(PolicyApplied(CANDIDATE, fingerprint(CANDIDATE), *bound)), InputQuarantined)
    assert event.reason == "expected a bound of 1 to 1000 permille over at least 1 job, or none, found another"
    assert pool.state.policy == POLICY


def test_without_the_mechanism_the_policy_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_trial, "is_lost", lambda trial: False)
    pool = a_trial(1000, 1)
    serve(pool, 0, LATE_MS)
    assert reversals(pool) == []
