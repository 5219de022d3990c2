"""What a what-if and a shadow make of jobs whose media were prepared: each comes when it came in the pool."""

from __future__ import annotations

from audit.ledger.past import LedgerPast
from audit.ledger.reader import LedgerRecord
from contract.events import JobPreparing
from contract.shadows import ShadowAdvanced, ShadowRecord
from tests.unit.scheduling.preparing import PreparingPool
from tests.unit.scheduling.specification import POOL, START_MS, a_job
from whatif.compare import CHANGED, IN_FORCE, NOT_MODELLED, RECORDED, Changes, of_ledger
from whatif.recorded import recorded
from whatif.shadow.follower import follow
from whatif.shadow.log import ShadowLog
from whatif.shadow.shadow import Shadow
from whatif.simulation.nodes import Costs


def lived() -> PreparingPool:
    """Four jobs, each prepared for 4 s, queued for 1 s and run for 2 s; a fifth is refused, a sixth still preparing."""
    pool = PreparingPool()
    for number in range(1, 5):
        pool.submit(number)
        pool.beat("w1", after_ms=4_000)
        pool.prepared(number)
        pool.tick(1_000)
        pool.join("n1", session=f"s{number}")
        pool.start(a_job(number), session=f"s{number}")
        pool.tick(2_000)
        pool.succeed(a_job(number), session=f"s{number}")
        pool.leave("n1", f"s{number}")
    pool.submit(5)
    pool.refused(5)
    pool.submit(6)
    return pool


def past_of(pool: PreparingPool) -> LedgerPast:
    records = [LedgerRecord(at, batch.now_ms, pool.records[at]) for at, batch in enumerate(pool.batches)]
    return LedgerPast(POOL, lambda first: iter(records[first:]))


def test_a_job_comes_when_its_media_were_prepared_and_its_wait_counts_from_its_submission() -> None:
    given = recorded(past_of(lived()))
    jobs = list(given.arrivals)
    assert [job.before_ms for job in jobs] == [4_000] * 4
    assert jobs[0].submitted_ms == START_MS + 1
    assert given.left_out == {"refused for their media": 1, "waits or runs still": 1}
    assert {move.node for move in given.fleet.moves} == {"n1"}, "no CPU worker"
    compared = of_ledger(given, Changes(), Costs())
    for column in compared.summary.columns:
        assert column.outcome.overall.mean_ms >= 5_000, column.name
    assert {column.name for column in compared.summary.columns} >= {RECORDED, IN_FORCE}
    assert compared.summary.columns[0].outcome.overall.mean_ms == 5_000
    assert any("media" in line for line in NOT_MODELLED)


def test_a_shadow_from_any_moment_starts_what_the_pool_started() -> None:
    """Also from a moment in which a job is preparing."""
    pool = lived()
    past = past_of(pool)
    policy = recorded(past).policies[-1][1]
    for since_ms in (0, START_MS + 2_000, START_MS + 4_500, START_MS + 9_000):
        records: list[ShadowRecord] = []
        log = ShadowLog("candidate", "run", past.pool, records.append, lambda: True)
        shadow, damage = follow(past, lambda state, log=log: Shadow(policy, state, log), since_ms)  # type: ignore[misc]
        shadow.finish("the ledger ends")
        assert damage is None
        steps = [record for record in records if isinstance(record, ShadowAdvanced)]
        taken = {job.job: job for step in steps for job in step.taken}
        assert {start.job for step in steps for start in step.started} == taken.keys()
        assert all(job.submitted_ms == pool_submitted(pool, job.job) for job in taken.values())
        assert len(taken) >= 2
        assert steps[-1].left_out["refused for their media"] == 1


def pool_submitted(pool: PreparingPool, job: str) -> int:
    events = (event for batch in pool.batches for event in batch.events)
    return next(event.submitted_ms for event in events if isinstance(event, JobPreparing) and event.job == job)


def test_with_more_machines_the_preparation_is_still_waited_for() -> None:
    compared = of_ledger(recorded(past_of(lived())), Changes(slots={"east": 4}), Costs())
    (changed,) = [column for column in compared.summary.columns if column.name == CHANGED]
    assert changed.outcome.overall.p50_ms >= 4_000
