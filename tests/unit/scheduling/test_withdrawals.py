"""A withdrawn version starts nothing any more; its jobs take the alias's version, or end, a bounded number a batch."""

from __future__ import annotations

import msgspec
import pytest

from contract.events import (
    AttemptClosed,
    Event,
    GangReleased,
    GangReserved,
    JobAccepted,
    JobCancelled,
    JobDispatched,
    JobRefused,
    JobRepinned,
    KillOrdered,
    RecallOrdered,
    ReportStale,
    VersionWithdrawn,
)
from contract.inputs import AliasMoved, HoldRequested, ReleaseRequested, Requirements, WithdrawRequested
from contract.policy import DISCIPLINES
from scheduling import snapshot
from scheduling.state.pool import State
from tests.unit.scheduling.dispatched import picked
from tests.unit.scheduling.specification import CPU, POLICY, Pool, a_job, names, only, submission, version_of

V1, V2 = version_of("shapes/v1"), version_of("shapes/v2")
BY_DIGEST = f"shapes@{V1}"


def a_pool(slots: int = 0, **policy: object) -> Pool:
    """One version with the alias `live`, and a node with so many slots."""
    pool = Pool(msgspec.structs.replace(POLICY, **policy))
    pool.publish()
    if slots:
        pool.join("n1", slots=slots)
    return pool


def withdraw(pool: Pool, kill: bool = False, version: str = V1) -> list[Event]:
    return pool.tell(WithdrawRequested("shapes", version, kill))


def move(pool: Pool) -> None:
    pool.publish(version="v2", move=2)


def test_new_submissions_are_refused_by_digest_and_by_alias_until_it_moves() -> None:
    pool = a_pool()
    assert withdraw(pool) == [VersionWithdrawn("shapes", V1, kill=False)]
    events = pool.tell(submission(1), submission(2, model=BY_DIGEST))
    assert [refused.reason for refused in only(events, JobRefused)] == ["version_withdrawn"] * 2
    move(pool)
    assert [(a.version, a.alias) for a in only(pool.tell(submission(3)), JobAccepted)] == [(V2, "live")]
    assert only(pool.tell(submission(4, model=BY_DIGEST)), JobRefused)


def test_it_is_said_once_and_may_become_stricter_never_milder() -> None:
    pool = a_pool()
    withdraw(pool)
    assert withdraw(pool) == [ReportStale("WithdrawRequested")]
    assert withdraw(pool, kill=True) == [VersionWithdrawn("shapes", V1, kill=True)]
    assert withdraw(pool) == [ReportStale("WithdrawRequested")]
    assert withdraw(pool, version=V2) == [ReportStale("WithdrawRequested")], "nobody knows this version"
    assert pool.tell(WithdrawRequested("other", V1)) == [ReportStale("WithdrawRequested")]


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_jobs_that_wait_take_the_version_of_their_alias_or_end(discipline: str) -> None:
    pool = a_pool(discipline=discipline)
    pool.tell(*(submission(n, model="shapes" if n % 2 else BY_DIGEST) for n in range(1, 5)), after_ms=10)
    pool.publish(requirements=Requirements(("cpu",), 0, 1), version="v2", move=2)  # of another requirement class
    events = withdraw(pool)
    assert only(events, JobRepinned) == [JobRepinned(a_job(1), V2), JobRepinned(a_job(3), V2)]
    assert {event.job for event in only(events, JobCancelled)} == {a_job(2), a_job(4)}
    assert {event.reason for event in only(events, JobCancelled)} == {"version_withdrawn"}
    pool.join("n1", slots=4)
    assert sorted(picked(pool)) == sorted([a_job(1), a_job(3)])
    assert pool.job(a_job(1)).version == V2


def test_a_job_whose_alias_has_not_moved_waits_until_it_moves_and_lets_others_by() -> None:
    pool = a_pool()
    pool.publish("other")
    pool.tell(submission(1))
    withdraw(pool)
    pool.tell(submission(2, model="other"), after_ms=1_000)
    pool.join("n1", slots=2)
    assert picked(pool) == [a_job(2)]
    pool.tick(1_000)
    assert pool.job(a_job(1)).version == V1
    assert pool.job(a_job(1)).open is None
    move(pool)
    assert only(pool.events, JobRepinned) == [JobRepinned(a_job(1), V2)]
    assert picked(pool) == [a_job(1)]
    assert only(pool.events, JobDispatched)[0].waited_ms == 2_000, "it keeps its submit time"


def test_an_alias_that_moves_to_another_withdrawn_or_unknown_version_moves_nobody() -> None:
    pool = a_pool()
    pool.tell(submission(1))
    move(pool)
    withdraw(pool, version=V2)
    assert not only(withdraw(pool), JobRepinned)
    pool.tell(AliasMoved("shapes", "live", version_of("nobody knows"), 3))
    assert pool.job(a_job(1)).version == V1
    pool.publish(version="v3", move=4)
    assert pool.job(a_job(1)).version == version_of("shapes/v3")


def test_staged_ones_are_recalled_and_running_ones_finish() -> None:
    pool = a_pool(1)
    pool.tell(submission(1))
    pool.start(a_job(1))
    pool.tell(submission(2), submission(3, model=BY_DIGEST))
    staged = [job for job in (a_job(2), a_job(3)) if pool.job(job).open]
    move(pool)
    events = withdraw(pool)
    assert [(order.job, order.reason) for order in only(events, RecallOrdered)] == [
        (job, "withdrawn") for job in staged
    ]
    assert not only(events, KillOrdered)
    for job in staged:
        events += pool.stop(job, "recalled")
    assert [event.job for event in only(events, JobRepinned)] == [a_job(2)]
    assert [event.job for event in only(events, JobCancelled)] == [a_job(3)]
    assert "JobSucceeded" in names(pool.succeed(a_job(1)))


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("model", ["shapes", BY_DIGEST])
def test_running_ones_are_killed_if_asked_and_then_go_as_those_that_wait(model: str, *, later: bool) -> None:
    pool = a_pool(1)
    pool.tell(submission(1, model=model))
    pool.start(a_job(1))
    move(pool)
    if later:
        assert not only(withdraw(pool), KillOrdered)
    assert [(k.job, k.reason) for k in only(withdraw(pool, kill=True), KillOrdered)] == [(a_job(1), "withdrawn")]
    assert not only(pool.tick(1_000), KillOrdered), "said once"
    events = pool.stop(a_job(1), "killed")
    assert [(c.reason, c.counts) for c in only(events, AttemptClosed)] == [("killed", False)]
    if model == "shapes":
        assert only(events, JobRepinned) == [JobRepinned(a_job(1), V2)]
        assert picked(pool) == [a_job(1)]
    else:
        assert only(events, JobCancelled) == [JobCancelled(a_job(1), "version_withdrawn")]


def test_a_staged_one_that_starts_after_all_is_killed_only_if_asked() -> None:
    for kill in (False, True):
        pool = a_pool(1)
        pool.tell(submission(1))
        withdraw(pool, kill=kill)
        assert bool(only(pool.start(a_job(1)), KillOrdered)) is kill


def test_a_failed_attempt_is_tried_again_with_the_aliass_version_after_its_backoff() -> None:
    pool = a_pool(1)
    pool.tell(submission(1))
    pool.start(a_job(1))
    move(pool)
    withdraw(pool)
    assert not only(pool.fail(a_job(1)), JobRepinned), "it rests"
    pool.beat(after_ms=1_000)
    pool.beat(after_ms=9_000)
    assert pool.job(a_job(1)).version == V2
    assert pool.job(a_job(1)).failures == 1


def test_a_bounded_number_a_batch_the_oldest_first() -> None:
    pool = a_pool()
    pool.publish("other")
    most = 256
    numbers = range(most + 10)
    pool.tell(*(submission(number) for number in numbers))
    pool.tell(*(submission(number, model=BY_DIGEST) for number in range(1_000, 1_000 + most)), after_ms=1)
    pool.tell(submission(9_000, model="other"))
    move(pool)
    before = len(pool.batches)
    withdraw(pool)
    settled = [
        [e for e in batch.events if isinstance(e, JobRepinned | JobCancelled)] for batch in pool.batches[before:]
    ]
    assert [len(events) for events in settled] == [most, most, 10], "batch after batch, without waiting for a tick"
    assert len({event.job for events in settled for event in events}) == 2 * most + 10
    assert [event.job for events in settled for event in events if isinstance(event, JobRepinned)] == sorted(
        map(a_job, numbers)
    ), "all of one millisecond: by id"


def test_it_survives_a_snapshot_a_policy_and_a_takeover() -> None:
    pool = a_pool(1)
    pool.tell(submission(1), after_ms=5)
    pool.start(a_job(1))
    pool.tell(submission(2), submission(3, model=BY_DIGEST))
    pool.tell(HoldRequested())
    pool.tell(WithdrawRequested("shapes", V1))
    pool.tell(submission(4))
    again = snapshot.decode(snapshot.encode(pool.state))
    assert _facts(again) == _facts(pool.state)
    for discipline in DISCIPLINES:
        pool.adopt(msgspec.structs.replace(POLICY, discipline=discipline))
        assert _facts(snapshot.decode(snapshot.encode(pool.state))) == _facts(pool.state)
    pool.take_over()
    pool.tell(ReleaseRequested())
    assert not only(pool.events, JobDispatched)


def _facts(state: State) -> object:
    shelved = {key: queue.entries[queue.start :] for key, queue in state.shelved.items()}
    return state.withdrawn, set(state.withdrawn_open), shelved


def test_a_job_that_waits_for_its_alias_can_be_cancelled_and_expires() -> None:
    pool = a_pool()
    pool.tell(submission(1), submission(2, expires_ms=pool.now_ms + 500))
    withdraw(pool)
    assert only(pool.cancel(a_job(1)), JobCancelled) == [JobCancelled(a_job(1), "cancel")]
    assert "JobExpired" in names(pool.tick(1_000))
    assert not pool.state.shelved


def test_slots_kept_for_a_gang_are_given_back_first() -> None:
    pool = a_pool(2)
    pair = pool.publish("pair", Requirements(("cpu",), 0, ranks=2))
    pool.tell(submission(1))
    pool.start(a_job(1))
    pool.tell(submission(2, model="pair"))
    assert only(pool.events, GangReserved)
    pool.publish("pair", Requirements(("cpu",), 0), version="v2", move=2)
    events = pool.tell(WithdrawRequested("pair", pair))
    assert names(events)[:3] == ["VersionWithdrawn", "GangReleased", "JobRepinned"]
    assert only(events, GangReleased) == [GangReleased(a_job(2), "withdrawn")]
    assert picked(pool) == [a_job(2)]
    assert not pool.attempt(a_job(2)).members


def test_jobs_of_other_tenants_and_versions_keep_their_turns() -> None:
    pool = a_pool(discipline="promise")
    other = pool.publish("other", CPU)
    for number in range(12):
        model = ("shapes", "other", BY_DIGEST)[number % 3]
        said = submission(number, model=model)
        pool.tell(msgspec.structs.replace(said, tenant=("acme", "globex")[number % 2]), after_ms=3)
    withdraw(pool)
    pool.join("n1", slots=8)
    waiting = [a_job(number) for number in range(12) if number % 3 == 1]
    assert sorted(picked(pool)) == sorted(waiting)
    assert {pool.job(job).version for job in waiting} == {other}
