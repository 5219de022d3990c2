"""What a job waits for before its media are prepared, cause by cause, and that nothing of the wait goes missing."""

from __future__ import annotations

import pytest

from audit.ledger.past import LedgerPast
from audit.ledger.reader import JobUnknown, LedgerRecord
from audit.waits.causes import CauseGroup
from audit.waits.forecasts import coverage
from audit.waits.sentences import explained
from audit.waits.slo import attainment
from audit.waits.starts import starts
from audit.waits.wait import Wait
from audit.waits.why import why
from contract.events import JobPreparing
from contract.inputs import ClusterDrainRequested, HoldRequested, WithdrawRequested
from contract.preparation_reports import PreparationDone
from tests.unit.audit.media_story import MediaStory
from tests.unit.audit.waits import PREPARING, check, missed_by, ms_of
from tests.unit.scheduling.preparing import PreparingPool, preparing_policy
from tests.unit.scheduling.specification import MANIFEST, POOL, a_job, version_of

G = CauseGroup


def past_of(pool: PreparingPool) -> LedgerPast:
    records = [LedgerRecord(offset, batch.now_ms, pool.records[offset]) for offset, batch in enumerate(pool.batches)]
    return LedgerPast(POOL, lambda first: iter(records[first:]))


def wait_of(pool: PreparingPool, number: int = 1) -> Wait:
    wait = why(a_job(number), past_of(pool))
    check(wait)
    return wait


def done(pool: PreparingPool, fetch_ms: int, check_ms: int, decode_ms: int, number: int = 1) -> None:
    job = a_job(number)
    pool.say(PreparationDone(job, pool.dispatch(job), MANIFEST, 9, fetch_ms, check_ms, decode_ms))


@pytest.mark.parametrize("seed", range(2))
def test_whatever_happens_the_causes_of_every_job_sum_to_its_wait(seed: int) -> None:
    pool = MediaStory(seed).run(120)
    past, known = past_of(pool), set()
    for batch in pool.batches:
        known |= {event.job for event in batch.events if isinstance(event, JobPreparing)}
    groups: set[CauseGroup] = set()
    for job in sorted(known):
        wait = why(job, past)
        check(wait)
        groups |= ms_of(wait).keys()
    assert len(groups) > 6


def test_no_worker() -> None:
    pool = PreparingPool(workers=0)
    pool.submit(1)
    pool.tick(1_000)
    wait = wait_of(pool)
    assert ms_of(wait) == {G.NO_WORKER: 1_000}
    assert "because there was no CPU worker" in explained(wait, operator=False).sentence
    pool.join_worker("w1")
    pool.leave("w1")
    assert wait_of(pool).outcome == "waiting"


def test_workers_that_are_leaving() -> None:
    pool = PreparingPool()
    pool.beat("w1", draining=True)
    pool.submit(1)
    pool.tick(1_000)
    assert "the CPU workers take no new work" in explained(wait_of(pool), operator=False).sentence
    assert ms_of(wait_of(pool)) == {G.NO_WORKER: 1_000}


def test_workers_that_prepare_others() -> None:
    pool = PreparingPool()
    for number in range(1, 4):
        pool.submit(number)
    pool.tick(997)
    assert ms_of(wait_of(pool, 3)) == {G.WORKERS_BUSY: 997}


def test_the_limit_of_a_cluster() -> None:
    pool = PreparingPool(preparing_policy(1), workers=2)
    pool.submit(1)
    pool.submit(2)
    pool.tick(1_000)
    assert ms_of(wait_of(pool, 2)) == {G.WORKER_LIMIT: 1_000}


def test_a_cluster_of_workers_that_drains() -> None:
    pool = PreparingPool()
    pool.tell(ClusterDrainRequested("cpus", 0))
    pool.submit(1)
    pool.tick(1_000)
    assert ms_of(wait_of(pool)) == {G.DRAINING: 1_000}


def test_a_pool_on_hold() -> None:
    pool = PreparingPool()
    pool.tell(HoldRequested())
    pool.submit(1)
    pool.tick(1_000)
    assert ms_of(wait_of(pool)) == {G.HELD: 1_000}


def test_a_version_that_was_withdrawn() -> None:
    pool = PreparingPool(workers=0)
    pool.submit(1)
    pool.tell(WithdrawRequested("edit", version_of("edit/v1")))
    pool.tick(1_000)
    assert ms_of(wait_of(pool)) == {G.WITHDRAWN: 1_000}


def test_what_the_worker_did() -> None:
    pool = PreparingPool()
    pool.submit(1)
    pool.tick(1_000)
    assert ms_of(wait_of(pool)) == {G.AT_WORKER: 1_000}
    done(pool, 400, 50, 300)
    pool.tick(70)
    parts = {G.AT_WORKER: 250, G.FETCHING: 400, G.CHECKING: 50, G.DECODING: 300}
    assert ms_of(wait_of(pool)) == {**parts, G.NO_NODE: 70}
    pool.join("n1")
    pool.start(a_job(1))
    wait = wait_of(pool)
    assert (ms_of(wait), wait.outcome) == ({**parts, G.NO_NODE: 70}, "started")
    fetching = next(share for cause, share in wait.shares.items() if cause.group is G.FETCHING)
    assert (fetching.from_ms - wait.submitted_ms, fetching.until_ms - wait.submitted_ms) == (250, 650)


def test_a_worker_that_says_more_than_there_was() -> None:
    pool = PreparingPool()
    pool.submit(1)
    pool.tick(1_000)
    done(pool, 9_000, 50, 300)
    assert ms_of(wait_of(pool)) == {G.FETCHING: 650, G.CHECKING: 50, G.DECODING: 300}


def test_what_came_to_nothing_and_the_rest_after_it() -> None:
    pool = PreparingPool()
    pool.submit(1)
    pool.tick(1_000)
    pool.stopped(1, "outage")
    pool.beat("w1", after_ms=2_000)
    wait = wait_of(pool)
    assert ms_of(wait) == {G.UNPREPARED: 1_000, G.WORKER_BACKOFF: 2_000}
    sentence = explained(wait, operator=False).sentence
    assert "67 % because it rested before its media were prepared again" in sentence
    assert "a preparation came to nothing: a server of ours was away" in sentence


def test_a_job_that_ends_while_its_media_are_prepared() -> None:
    pool = PreparingPool()
    pool.submit(1)
    pool.tick(1_000)
    pool.cancel(a_job(1))
    pool.tick(1_000)
    wait = wait_of(pool)
    assert (ms_of(wait), wait.outcome) == ({G.AT_WORKER: 1_000}, "ended")


def test_refused_media_waited_and_never_started() -> None:
    pool = PreparingPool()
    pool.submit(1)
    pool.tick(1_000)
    pool.refused(1)
    wait = wait_of(pool)
    assert (ms_of(wait), wait.outcome) == ({G.AT_WORKER: 1_000}, "ended")
    (start,) = starts(past_of(pool)).jobs
    assert start.ended


def test_inputs_that_are_gone_are_prepared_again() -> None:
    pool = PreparingPool()
    pool.join("n1")
    pool.submit(1)
    done(pool, 0, 0, 0)
    pool.start(a_job(1))
    pool.tick(500)
    pool.fail(a_job(1), "inputs_missing")
    pool.tick(1_000)
    assert ms_of(wait_of(pool))[G.RAN] == 500
    assert wait_of(pool).outcome == "waiting"
    pool.beat("w1", after_ms=2_000)
    pool.tick(100)
    assert {G.RAN, G.WORKER_BACKOFF, G.AT_WORKER} <= ms_of(wait_of(pool)).keys()


def test_an_slo_counts_from_the_submission_and_a_forecast_comes_with_the_inputs() -> None:
    pool = PreparingPool(preparing_policy())
    pool.join("n1")
    for number in range(1, 13):
        pool.submit(number, "api")
        pool.beat("w1", after_ms=4_000)
        done(pool, 0, 0, 0, number)
        pool.beat("n1", after_ms=4_000)
        pool.start(a_job(number))
        pool.succeed(a_job(number))
    found = starts(past_of(pool))
    assert [start.started_ms - start.submitted_ms for start in found.jobs] == [8_000] * 12
    assert attainment(found, "tier")[0].kept == 12
    assert [start.p90_ms >= 4_000 for start in found.jobs] == [True] * 12
    assert coverage(found)[0].scored == 12
    assert wait_of(pool).forecast == (found.jobs[0].p50_ms, found.jobs[0].p90_ms)


def test_before_the_ledger_knows_it_there_is_nothing_to_explain() -> None:
    with pytest.raises(JobUnknown):
        why(a_job(9), past_of(PreparingPool()))


ONE_CAUSE_AT_A_TIME = (
    test_no_worker,
    test_workers_that_prepare_others,
    test_the_limit_of_a_cluster,
    test_what_the_worker_did,
    test_what_came_to_nothing_and_the_rest_after_it,
)


@pytest.mark.parametrize("group", PREPARING)
def test_a_cause_that_is_dropped_is_missed(group: CauseGroup) -> None:
    assert missed_by(group, ONE_CAUSE_AT_A_TIME), f"no test misses the cause {group.value}"
