"""Which job is prepared next, and where: by wait fraction, tenants in turn, on free slots only, within the limit."""

from __future__ import annotations

import msgspec
import pytest

from contract.events import InputQuarantined, JobDispatched, PreparationOrdered
from contract.inputs import (
    ClusterActivated,
    ClusterDrainRequested,
    HoldRequested,
    NodeCordonRequested,
    NodeHeartbeat,
    NodeUncordonRequested,
    ReleaseRequested,
)
from contract.policy import DISCIPLINES, UNLIMITED, Cluster
from scheduling.state import preparing, sharing
from scheduling.state.jobs import Loss
from tests.unit.scheduling.preparing import PreparingPool, ordered, preparing_policy
from tests.unit.scheduling.specification import POOL, a_job, names, only

TWO_CLUSTERS = {"cpus": Cluster(POOL, 8, kind="prepare"), "more": Cluster(POOL, 8, kind="prepare")}


def test_nothing_waits_behind_a_preparation_while_another_worker_may_come() -> None:
    pool = PreparingPool(preparing_policy(limit=UNLIMITED), slots=2)
    for number in range(4):
        pool.submit(number)
    assert len(pool.state.clusters["cpus"].open) == 2
    pool.join_worker("w2")
    assert [(event.job, event.node) for event in only(pool.events, PreparationOrdered)] == [(a_job(2), "w2")]


def test_the_emptiest_cluster_comes_first_then_the_least_name() -> None:
    pool = PreparingPool(workers=0)
    pool.adopt(msgspec.structs.replace(pool.policy, clusters={**pool.policy.clusters, **TWO_CLUSTERS}))
    pool.join_worker("w2", slots=2)
    pool.join("w1", "more", 4, kind="prepare", chipset="cuda", gpus=1)
    for number in range(5):
        pool.submit(number)
    assert [node for _, node in ordered(pool)] == ["w1", "w2", "w1", "w1", "w2"]


def test_tiers_go_by_fraction_and_equal_fractions_by_id() -> None:
    """A job of `api` (10 s) that waited 1 s and one of `free` (100 s) that waited 10 s have waited the same part."""
    pool = PreparingPool(workers=0)
    pool.submit(1, "free")
    pool.tick(8_998)
    pool.submit(2, "api")
    pool.tick(1_000)
    pool.join_worker("w1")
    expected = min(a_job(1), a_job(2))
    assert [job for job, _ in ordered(pool)] == [expected]


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_the_order_is_the_same_under_every_discipline(discipline: str) -> None:
    pool = PreparingPool(preparing_policy(discipline=discipline), workers=0)
    for number, tier in enumerate(("free", "free", "api", "light")):
        pool.submit(number, tier)
    pool.tick(500)
    pool.join_worker("w1", slots=4)
    assert [job for job, _ in ordered(pool)] == [a_job(2), a_job(3), a_job(0), a_job(1)]


def test_a_tenant_pays_once_for_a_job_however_often_the_job_is_prepared() -> None:
    pool = PreparingPool()
    pool.submit(1)
    for _ in range(3):
        pool.stopped(1, "unclaimed")
        pool.beat("w1", after_ms=2_000)
    assert len(ordered(pool)) == 4
    assert pool.state.preparing.shares["free"].tenants["acme"].tag == sharing.PICK


def test_heavier_tenants_are_served_more_and_bursts_pay() -> None:
    pool = PreparingPool(preparing_policy(tenant_weights={"acme": 2}), workers=0)
    for number in range(6):
        pool.submit(number, tenant=("acme", "zeta")[number % 2])
    pool.join_worker("w1", slots=3)
    assert [pool.job(job).tenant for job, _ in ordered(pool)] == ["acme", "zeta", "acme"]


def test_one_order_of_32_belongs_to_the_job_that_is_overdue_the_longest() -> None:
    """The job of `free` (100 s) is overdue after 100 s, before the jobs of `api` (10 s), whose fraction is larger."""
    pool = PreparingPool(preparing_policy(limit=UNLIMITED, promise_max=1), workers=0)
    pool.submit(0, "free")
    pool.tick(95_000)
    for number in range(1, 41):
        pool.submit(number, "api")
    pool.tick(11_000)
    pool.join_worker("w1", slots=41)
    assert [job for job, _ in ordered(pool)].index(a_job(0)) == preparing.TURN - 1


def test_an_overdue_job_goes_at_once_where_no_overdue_job_went_for_long() -> None:
    pool = PreparingPool(preparing_policy(limit=UNLIMITED, promise_max=1), slots=40)
    for number in range(40):
        pool.submit(number, "api")
    assert pool.state.preparing.since == preparing.TURN - 1
    pool.submit(50, "free")
    pool.tick(90_500, lease_ms=0)
    pool.submit(51, "api")
    pool.tick(10_500, lease_ms=0)
    pool.join_worker("w2")
    assert ordered(pool)[-1] == (a_job(50), "w2")


@pytest.mark.parametrize(
    ("words", "again"),
    [
        (ClusterDrainRequested("cpus", 0), ClusterActivated("cpus")),
        (NodeCordonRequested("w1"), NodeUncordonRequested("w1")),
        (NodeHeartbeat("w1", "s1", holding="store"), NodeHeartbeat("w1", "s1")),
        (NodeHeartbeat("w1", "s1", usable=0), NodeHeartbeat("w1", "s1")),
    ],
    ids=["draining", "cordoned", "holding off", "no slot"],
)
def test_nothing_new_begins_while_it_must_not_and_what_is_open_goes_on(words: object, again: object) -> None:
    pool = PreparingPool(slots=2)
    pool.submit(1)
    before = pool.dispatch(a_job(1))
    pool.tell(words)  # type: ignore[arg-type]
    assert names(pool.submit(2)) == ["JobPreparing"]
    assert pool.dispatch(a_job(1)) == before
    assert "InputsPrepared" in names(pool.prepared(1))
    pool.tell(again)  # type: ignore[arg-type]
    assert only(pool.events, PreparationOrdered)


def test_a_pool_on_hold_begins_no_preparation_and_hears_of_those_that_are_open() -> None:
    pool = PreparingPool(slots=2)
    pool.submit(1)
    pool.tell(HoldRequested())
    assert names(pool.submit(2)) == ["JobPreparing"]
    assert names(pool.prepared(1)) == ["InputsPrepared"]
    assert names(pool.tell(ReleaseRequested())) == ["PoolReleased", "PreparationOrdered"]


def test_a_worker_that_drains_gets_nothing_new_and_finishes_what_it_has() -> None:
    pool = PreparingPool(slots=2)
    pool.submit(1)
    pool.beat("w1", draining=True)
    assert names(pool.submit(2)) == ["JobPreparing"]
    assert "InputsPrepared" in names(pool.prepared(1))


def test_a_cordoned_worker_is_tried_with_one_job_after_its_rest_and_only_if_none_is_sound() -> None:
    """Its name was cordoned for failures when it ran jobs: a preparation neither accuses nor acquits."""
    pool = PreparingPool(slots=4)
    pool.tell(NodeCordonRequested("w1"))
    for state in (pool.state, pool.reader):
        state.suspects["w1"].cordoned = "failures"
        state.suspects["w1"].rests_until_lease_ms = state.lease_ms + 4_000
        state.trials.append((state.lease_ms + 4_000, "w1"))
    pool.submit(1)
    pool.submit(2)
    assert ordered(pool) == []
    pool.beat("w1", after_ms=4_000)
    assert ordered(pool) == [(a_job(1), "w1")]
    pool.join_worker("x9")
    assert ordered(pool)[-1] == (a_job(2), "x9")
    assert not any(isinstance(loss, Loss) for loss in pool.job(a_job(1)).losses)


def test_a_cluster_that_the_policy_dropped_gets_nothing_and_is_heard() -> None:
    pool = PreparingPool(slots=2)
    pool.submit(1)
    pool.adopt(msgspec.structs.replace(pool.policy, clusters={"east": Cluster(POOL, 4)}))
    assert names(pool.submit(2)) == ["JobPreparing"]
    assert "InputsPrepared" in names(pool.prepared(1))
    pool.adopt(pool.policy)
    assert only(pool.events, PreparationOrdered)


@pytest.mark.parametrize("limit", [1, 3])
def test_another_limit_counts_from_the_next_order(limit: int) -> None:
    pool = PreparingPool(preparing_policy(limit=2), slots=8)
    for number in range(4):
        pool.submit(number)
    pool.adopt(preparing_policy(limit=limit))
    assert len(pool.state.clusters["cpus"].open) == max(2, limit)
    pool.prepared(0)
    assert len(pool.state.clusters["cpus"].open) == (1 if limit == 1 else 3)


def test_a_cluster_keeps_its_kind_while_the_policy_has_it_and_while_nodes_are_there() -> None:
    pool = PreparingPool()
    run = {**pool.policy.clusters, "cpus": Cluster(POOL, 4)}
    changed = msgspec.structs.replace(pool.policy, clusters=run)
    assert only(pool.adopt(changed), InputQuarantined)
    dropped = msgspec.structs.replace(pool.policy, clusters={"east": Cluster(POOL, 4)})
    assert not only(pool.adopt(dropped), InputQuarantined)
    assert only(pool.adopt(changed), InputQuarantined), "w1 is still there, and is a CPU worker"
    pool.leave("w1")
    assert not only(pool.adopt(changed), InputQuarantined)


def test_a_cluster_that_another_pool_gets_may_have_another_kind_there() -> None:
    pool = PreparingPool(workers=0)
    moved = {**pool.policy.clusters, "cpus": Cluster("other", 4)}
    assert not only(pool.adopt(msgspec.structs.replace(pool.policy, clusters=moved)), InputQuarantined)


def test_an_attempt_says_that_its_inputs_held_it() -> None:
    pool = PreparingPool()
    pool.join("n1")
    pool.submit(1)
    pool.tick(500)
    (dispatched,) = only(pool.prepared(1), JobDispatched)
    assert dispatched.bound == "inputs"


def test_workers_and_their_times_change_no_limit_and_recall_nothing() -> None:
    """A worker with fewer usable slots than preparations is no reason to look for attempts that wait behind others."""
    pool = PreparingPool(slots=2)
    pool.join("n1", slots=2)
    for number in range(2):
        pool.submit(number)
    pool.beat("w1", usable=1)
    assert "RecallOrdered" not in names(pool.tick(1_000))
    assert "LimitAdapted" not in [name for batch in pool.batches for name in names(batch.events)]
