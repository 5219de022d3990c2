"""From `preparing` to `queued`: jobs whose media CPU workers prepare."""

from __future__ import annotations

import pytest

from contract.events import (
    InputsPrepared,
    InputsRefused,
    JobDispatched,
    JobPreparing,
    NodeRefused,
    PreparationClosed,
    PreparationOrdered,
)
from contract.lifecycle import JobState
from contract.orders import Kill, Prepare, PreparedInputs, Run
from tests.unit.scheduling.preparing import PreparingPool, preparing_policy
from tests.unit.scheduling.specification import a_job, names, only, submission


def test_a_job_with_media_is_prepared_before_it_waits_for_a_slot() -> None:
    pool = PreparingPool()
    pool.join("n1")
    events = pool.submit(1)
    assert names(events) == ["JobPreparing", "PreparationOrdered"]
    (order,) = pool.orders()
    assert isinstance(order, Prepare)
    assert (order.node, order.job, order.tenant) == ("w1", a_job(1), "acme")
    events = pool.prepared(1)
    assert names(events) == ["InputsPrepared", "JobDispatched"]
    (run,) = pool.orders()
    assert isinstance(run, Run)
    assert run.prepared == PreparedInputs(order.preparation, only(events, InputsPrepared)[0].manifest, 9)


@pytest.mark.parametrize(("media", "model"), [(0, "edit"), (1, "shapes")])
def test_what_names_no_media_or_takes_none_is_not_prepared(media: int, model: str) -> None:
    pool = PreparingPool()
    pool.publish("shapes")
    assert "JobAccepted" in names(pool.submit(1, media=media, model=model))


def test_an_attempt_never_goes_to_a_worker_nor_a_preparation_to_another_node() -> None:
    pool = PreparingPool(workers=0)
    pool.join("n1")
    assert names(pool.submit(1)) == ["JobPreparing"]
    pool.join_worker("w1")
    pool.leave("n1")
    pool.publish("shapes")
    assert names(pool.tell(submission(2))) == ["JobAccepted"]


@pytest.mark.parametrize(("cluster", "kind"), [("cpus", "run"), ("east", "prepare")])
def test_a_node_of_another_kind_than_its_cluster_is_refused(cluster: str, kind: str) -> None:
    pool = PreparingPool(workers=0)
    (refused,) = only(pool.join("n1", cluster, kind=kind), NodeRefused)
    assert refused.reason == "wrong_kind"


def test_no_more_is_open_in_a_cluster_than_its_limit() -> None:
    pool = PreparingPool(preparing_policy(limit=2), workers=3)
    for number in range(5):
        pool.submit(number)
    assert len(pool.state.clusters["cpus"].open) == 2
    ordered = only(pool.prepared(0), PreparationOrdered)
    assert [(event.open, event.limit) for event in ordered] == [(2, 2)]


def test_tenants_take_turns_and_tiers_go_by_wait_fraction() -> None:
    pool = PreparingPool(workers=0)
    for number, (tenant, tier) in enumerate([("acme", "free")] * 3 + [("zeta", "free"), ("acme", "api")]):
        pool.submit(number, tier, tenant=tenant)
    pool.tick(1_000)
    pool.join_worker("w1", slots=4)
    order = [event.job for batch in pool.batches for event in only(batch.events, PreparationOrdered)]
    assert order == [a_job(4), a_job(0), a_job(3), a_job(1)]


def test_refused_media_end_the_job() -> None:
    pool = PreparingPool()
    pool.submit(1)
    (refused,) = only(pool.refused(1, "too_long"), InputsRefused)
    assert refused.kind == "too_long"
    assert a_job(1) not in pool.state.jobs


def test_a_cancel_ends_the_job_at_once_and_the_worker_hears_of_it() -> None:
    pool = PreparingPool()
    pool.submit(1)
    preparation = pool.dispatch(a_job(1))
    assert names(pool.cancel(a_job(1))) == ["PreparationClosed", "JobCancelled"]
    (kill,) = pool.orders()
    assert isinstance(kill, Kill)
    assert (kill.node, kill.dispatch) == ("w1", preparation)


def test_an_outage_rests_the_job_longer_each_time_and_counts_no_failure() -> None:
    pool = PreparingPool()
    pool.submit(1)
    rests = []
    for _ in range(3):
        (closed,) = only(pool.stopped(1, "outage"), PreparationClosed)
        rests.append(closed.eligible_lease_ms - pool.state.lease_ms)
        pool.beat("w1", after_ms=rests[-1])
        assert only(pool.events, PreparationOrdered)
    assert rests == [2_000, 4_000, 8_000]
    assert pool.job(a_job(1)).failures == pool.job(a_job(1)).attempts == 0


def test_a_lost_worker_costs_the_job_no_attempt_and_five_end_it() -> None:
    pool = PreparingPool()
    pool.submit(1)
    for life in range(2, 7):
        assert pool.job(a_job(1)).state is JobState.PREPARING
        pool.join_worker("w1", session=f"s{life}")
        if a_job(1) in pool.state.jobs:
            pool.beat("w1", f"s{life}", after_ms=9_000)
            pool.beat("w1", f"s{life}", after_ms=9_000)
            pool.beat("w1", f"s{life}", after_ms=9_000)
            pool.beat("w1", f"s{life}", after_ms=9_000)
    (refused,) = only([event for batch in pool.batches for event in batch.events], InputsRefused)
    assert refused.kind == "worker_lost"


def test_only_the_open_preparation_is_heard() -> None:
    pool = PreparingPool()
    pool.submit(1)
    first = pool.dispatch(a_job(1))
    pool.stopped(1, "unclaimed")
    pool.beat("w1", after_ms=2_000)
    pool.beat("w1")
    assert pool.dispatch(a_job(1)) != first
    assert only(pool.events, JobDispatched) == []
    assert len(only([event for batch in pool.batches for event in batch.events], JobPreparing)) == 1
