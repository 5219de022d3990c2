"""Jobs that were prepared: their place in line, their forecast, withdrawn versions, and inputs that serve no more."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from contract.events import (
    AttemptFailed,
    InputsDropped,
    InputsPrepared,
    JobCancelled,
    JobDispatched,
    JobRepinned,
    PreparationClosed,
    StartForecast,
)
from contract.inputs import VersionPublished, WithdrawRequested
from contract.lifecycle import JobState
from contract.orders import Kill, Run
from contract.policy import DISCIPLINES
from scheduling import forecast, snapshot
from tests.unit.scheduling.preparing import RULES_A, RULES_B, PreparingPool, events_of, preparing_policy
from tests.unit.scheduling.specification import CPU, Pool, a_job, names, only, submission, version_of

JOB = a_job(1)
V1, V2 = version_of("edit/v1"), version_of("edit/v2")


# lines and disciplines


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_a_prepared_job_stands_where_its_submit_time_says(discipline: str) -> None:
    pool = PreparingPool(preparing_policy(discipline=discipline))
    pool.publish("shapes")
    pool.submit(1)
    pool.tell(submission(2), after_ms=10)
    pool.tick(1_000)
    pool.prepared(1)
    pool.join("n1")
    dispatched = only(pool.events, JobDispatched)[0]
    assert (dispatched.job, dispatched.waited_ms) == (JOB, 1_010)


@pytest.mark.parametrize("before", DISCIPLINES)
@pytest.mark.parametrize("phase", ["waits", "is prepared", "rests"])
def test_another_discipline_knows_nothing_of_jobs_that_are_not_prepared(phase: str, before: str) -> None:
    """Their line may not exist yet, and the shadow of `promise` must not wait for them."""
    pool = PreparingPool(preparing_policy(discipline=before), workers=phase != "waits")
    pool.submit(1)
    if phase == "rests":
        pool.stopped(1, "outage")
    for discipline in DISCIPLINES:
        pool.adopt(preparing_policy(discipline=discipline))
        paces = [known.pace for known in pool.state.classes.values() if known.pace is not None]
        assert not any(line.shadow for pace in paces for line in pace.lines.values())
        assert pool.job(JOB).state is JobState.PREPARING


def test_a_job_that_is_late_when_its_inputs_come_stands_among_the_late() -> None:
    pool = PreparingPool(preparing_policy(discipline="promise"))
    pool.submit(1, "api")
    pool.tick(20_000)
    pool.prepared(1)
    (line,) = (known.late["api"] for known in pool.state.classes.values() if "api" in known.late)
    assert [job for _, job in line.entries[line.start :]] == [JOB]


# forecasts


def busy_pool() -> PreparingPool:
    """Jobs without media have started before, so starts can be forecast."""
    pool = PreparingPool(workers=2)
    pool.publish("shapes")
    pool.join("n1", holds=1)
    for number in range(90, 94):
        pool.tell(submission(number))
    for _ in range(3):
        (job,) = pool.state.node_attempts["n1"]
        pool.start(job)
        pool.tick(1_000)
        pool.succeed(job)
    return pool


def test_a_forecast_is_made_when_the_inputs_come_and_counts_from_the_submission() -> None:
    pool = busy_pool()
    pool.submit(1)
    assert not pool.job(JOB).due_ms, "nobody knows how long media take"
    pool.tick(3_000)
    (prepared,) = only(pool.prepared(1), InputsPrepared)
    job = pool.job(JOB)
    assert prepared.start_p90_ms >= prepared.start_p50_ms > 3_000
    assert (job.due_ms, job.lined_ms) == (job.submitted_ms + prepared.start_p90_ms, pool.now_ms)
    assert job.basis_ms < prepared.start_p50_ms, "the wait for the slot alone teaches"


def test_a_new_forecast_is_twice_the_wait_for_a_slot_and_counts_from_the_submission() -> None:
    pool = busy_pool()
    pool.submit(1)
    pool.tick(30_000, lease_ms=0)
    pool.prepared(1)
    job = pool.job(JOB)
    wait_ms = job.due_ms - pool.now_ms + 1
    renewed = only(pool.tick(wait_ms, lease_ms=0), StartForecast)
    assert [event.job for event in renewed] == [JOB]
    assert renewed[0].p90_ms >= 30_000 + forecast.OVERDUE_FACTOR_MIN * wait_ms
    assert renewed[0].p90_ms < 2 * 30_000, "the wait for a CPU worker is not doubled"
    assert job.basis_ms == wait_ms


def test_the_run_time_is_taken_when_the_inputs_come() -> None:
    pool = PreparingPool()
    pool.join("n1")
    pool.submit(1)
    pool.prepared(1)
    pool.start(JOB)
    pool.submit(2)
    pool.tick(700)
    pool.succeed(JOB)
    (prepared,) = only(pool.prepared(2), InputsPrepared)
    assert prepared.expected_ms == pool.job(a_job(2)).expected_ms == 701


# inputs that serve no more


def lost_inputs() -> PreparingPool:
    """An attempt found the prepared inputs gone."""
    pool = PreparingPool()
    pool.join("n1")
    pool.submit(1)
    pool.prepared(1)
    pool.start(JOB)
    pool.fail(JOB, "inputs_missing")
    return pool


def test_inputs_that_the_store_lost_are_prepared_anew_and_the_attempt_counts() -> None:
    pool = lost_inputs()
    assert names(pool.events)[:2] == ["AttemptFailed", "InputsDropped"]
    dropped = only(pool.events, InputsDropped)[0]
    assert dropped.reason == "missing"
    assert dropped.preparation == events_of(pool, InputsPrepared)[0].preparation
    job = pool.job(JOB)
    assert (job.state, job.prepared, job.failures, job.attempts) == (JobState.PREPARING, "", 1, 1)
    assert only(pool.events, AttemptFailed)[0].counts
    pool.beat("w1", after_ms=2_000)
    pool.join("n2")
    (prepared,) = only(pool.prepared(1), InputsPrepared)
    assert (prepared.start_p50_ms, prepared.start_p90_ms) == (0, 0), "it has started before"
    (run,) = [order for order in pool.orders() if isinstance(order, Run)]
    assert run.prepared is not None
    assert (run.attempt, run.prepared.preparation) == (2, prepared.preparation)


def test_a_job_whose_inputs_are_lost_again_and_again_ends_like_any_that_fails() -> None:
    pool = PreparingPool(preparing_policy(failures_max=2), workers=1)
    pool.join("n1")
    pool.join("n2")
    pool.submit(1)
    for _ in range(2):
        pool.prepared(1)
        node = pool.attempt(JOB).node
        pool.start(JOB, node)
        pool.fail(JOB, "inputs_missing", node)
        pool.beat("w1", after_ms=2_000)
    assert "JobDeadLettered" in [name for batch in pool.batches for name in names(batch.events)]


def test_a_job_without_prepared_inputs_is_requeued_whatever_its_node_misses() -> None:
    pool = Pool()
    pool.publish()
    pool.join("n1")
    pool.tell(submission(1))
    pool.start(JOB)
    assert names(pool.fail(JOB, "inputs_missing"))[:2] == ["AttemptFailed", "JobRequeued"]


# withdrawn versions


def withdraw(pool: PreparingPool, prepares: str = RULES_B, **more: bool) -> None:
    pool.publish_edit("v2", 2, prepares)
    pool.tell(WithdrawRequested("edit", V1, **more))


def unprepared() -> PreparingPool:
    pool = PreparingPool(workers=0)
    pool.submit(1)
    return pool


def open_one() -> PreparingPool:
    pool = PreparingPool()
    pool.submit(1)
    return pool


def rested() -> PreparingPool:
    pool = open_one()
    pool.stopped(1, "outage")
    return pool


@pytest.mark.parametrize("phase", [unprepared, open_one, rested])
def test_a_job_that_is_not_prepared_is_pinned_anew_and_prepared_for_its_new_version(
    phase: Callable[[], PreparingPool],
) -> None:
    pool = phase()
    held = pool.job(JOB).open
    withdraw(pool)
    closed = only(pool.events, PreparationClosed)
    assert [(event.reason, event.counts) for event in closed] == ([("withdrawn", False)] if held else [])
    kills = [order.dispatch for order in pool.orders() if isinstance(order, Kill)]
    assert kills == ([held.dispatch] if held is not None else [])
    pool.join_worker("w2")
    pool.beat("w2", after_ms=2_000)
    assert pool.job(JOB).version == V2
    assert pool.job(JOB).open is not None
    assert [event.version for event in events_of(pool, JobRepinned)] == [V2]
    assert not pool.state.preparing.shelved


@pytest.mark.parametrize("phase", [unprepared, open_one])
def test_a_job_whose_alias_stays_on_a_withdrawn_version_is_not_prepared(phase: Callable[[], PreparingPool]) -> None:
    pool = phase()
    pool.tell(WithdrawRequested("edit", V1))
    pool.join_worker("w2")
    assert pool.job(JOB).open is None
    assert list(pool.state.preparing.shelved) == [(V1, "live")]
    again = snapshot.decode(snapshot.encode(pool.state))
    assert snapshot.encode(again) == snapshot.encode(pool.state)
    assert list(again.preparing.shelved) == [(V1, "live")]
    pool.adopt(preparing_policy(discipline="promise"))
    pool.publish_edit("v2", 2)
    assert pool.job(JOB).version == V2
    pool.cancel(JOB)
    assert pool.state.preparing.requirement_class.waiting == 0


def test_a_job_that_named_the_digest_ends_in_each_phase() -> None:
    pool = PreparingPool()
    pool.join("n1")
    for number in (1, 2):
        pool.submit(number, model=f"edit@{V1}")
    pool.tell(WithdrawRequested("edit", V1))
    assert {event.job for event in only(pool.events, JobCancelled)} == {JOB, a_job(2)}
    assert not pool.state.jobs


@pytest.mark.parametrize("prepares", [RULES_A, RULES_B, ""])
def test_prepared_inputs_stay_while_the_new_version_asks_for_the_same(prepares: str) -> None:
    pool = PreparingPool()
    pool.submit(1)
    pool.prepared(1)
    before = pool.job(JOB).prepared
    withdraw(pool, prepares)
    dropped = events_of(pool, InputsDropped)
    assert [(event.preparation, event.reason) for event in dropped] == (
        [] if prepares == RULES_A else [(before, "withdrawn")]
    )
    assert pool.job(JOB).state is (JobState.QUEUED if prepares == RULES_A else JobState.PREPARING)


def test_a_staged_attempt_of_a_withdrawn_version_comes_back_and_then_its_inputs_are_dropped() -> None:
    pool = PreparingPool()
    pool.join("n1")
    pool.submit(1)
    pool.prepared(1)
    withdraw(pool)
    events = pool.stop(JOB, "recalled")
    assert names(events) == ["AttemptClosed", "JobRequeued", "JobRepinned", "InputsDropped", "PreparationOrdered"]


def test_many_jobs_that_are_preparing_move_a_bounded_number_a_batch() -> None:
    pool = PreparingPool(workers=0)
    pool.check = False
    count = 600
    pool.tell(*(submission(number, model="edit", media=1) for number in range(count)))
    withdraw(pool)
    per_batch = [len(only(batch.events, JobRepinned)) for batch in pool.batches]
    assert (sum(per_batch), max(per_batch)) == (count, 256)
    pool.check = True
    pool.tick(1_000)


def test_a_version_says_once_by_which_rules_it_prepares() -> None:
    pool = PreparingPool()
    pool.tell(VersionPublished("edit", V1, CPU, 60_000, prepares=RULES_B))
    assert pool.state.versions[V1].prepares == RULES_A


# snapshots


def test_a_state_with_jobs_in_every_phase_survives_the_round_trip_and_decides_the_same() -> None:
    pool = PreparingPool(preparing_policy(limit=2), workers=2)
    for number in range(12):
        pool.submit(number, ("free", "api")[number % 2], tenant=("acme", "zeta", "beta")[number % 3])
        if number == 3:
            pool.stopped(0, "outage")
            pool.prepared(1)
    again = snapshot.decode(snapshot.encode(pool.state))
    assert snapshot.encode(again) == snapshot.encode(pool.state)
    assert (again.preparing.since, again.preparing.resting) == (
        pool.state.preparing.since,
        pool.state.preparing.resting,
    )
    pool.state = again
    before = len(pool.records)
    pool.beat("w1", after_ms=2_000)
    pool.prepared(min(number for number in range(12) if a_job(number) in again.jobs and again.jobs[a_job(number)].open))
    assert len(pool.records) == before + 2
    assert msgspec.json.decode(snapshot.encode(pool.state))["preparing"], "shares are facts"
