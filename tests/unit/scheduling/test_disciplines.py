"""Each discipline in hand-made cases; the shares of tenants; look-ahead; the promise's bound on every wait."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contract.events import JobDispatched
from contract.policy import DISCIPLINES, Cluster, Policy, Tier
from scheduling import disciplines, snapshot
from tests.unit.scheduling.specification import POLICY, Pool, a_job, only, submission


def ruled(discipline: str, **more: Any) -> Policy:
    tiers = more.pop("tiers", {"fast": Tier(1_000), "slow": Tier(10_000)})
    clusters = {"east": Cluster("main", 10_000)}
    return Policy(tiers, POLICY.pools, clusters, discipline=discipline, may_starve=True, **more)


def picked(pool: Pool) -> list[str]:
    return [event.job for event in only(pool.events, JobDispatched)]


def reasons(pool: Pool) -> set[str]:
    return {event.reason for event in only(pool.events, JobDispatched)}


def test_the_disciplines_are_those_of_the_contract() -> None:
    assert tuple(disciplines.DISCIPLINES) == DISCIPLINES
    assert all(name == discipline.name for name, discipline in disciplines.DISCIPLINES.items())


@pytest.mark.parametrize(
    ("discipline", "expected", "reason"),
    [
        ("fifo", [1, 2, 3, 4], "oldest"),
        ("strict", [2, 4, 1, 3], "highest_tier"),
        ("edf", [2, 4, 1, 3], "earliest_deadline"),
        ("wait_fraction", [2, 4, 1, 3], "largest_fraction"),
        ("shortest_first", [1, 2, 3, 4], "shortest"),
        ("weighted_fair", [2, 1, 4, 3], "fair_share"),
    ],
)
def test_who_goes_first(discipline: str, expected: list[int], reason: str) -> None:
    """1 slow at 0, 2 fast at 100, 3 slow at 200, 4 fast at 300, picked at 400 ms. Under weighted_fair a pick costs the
    tier its SLO: fast, slow (tags 1000 and 10000 after), fast again."""
    pool = Pool(ruled(discipline, look_ahead_jobs=0))
    pool.publish()
    for number, tier in ((1, "slow"), (2, "fast"), (3, "slow"), (4, "fast")):
        pool.tell(submission(number, tier), after_ms=100)
    pool.tick(100)
    pool.join("n1", slots=4)
    assert picked(pool) == [a_job(number) for number in expected]
    assert reasons(pool) == {reason}


def test_weights_decide_the_shares_of_tiers() -> None:
    pool = Pool(ruled("weighted_fair", tiers={"fast": Tier(1_000, 1), "slow": Tier(10_000, 3)}))
    pool.publish()
    pool.tell(*(submission(number, ("fast", "slow")[number % 2]) for number in range(80)))
    pool.join("n1", slots=20)
    first = only(pool.events, JobDispatched)[:40]
    assert sum(event.slo_ms == 1_000 for event in first) == 10


def test_a_discipline_is_changed_without_a_restart() -> None:
    pool = Pool(ruled("fifo"))
    pool.publish()
    pool.tell(submission(1, "slow"))
    pool.tell(submission(2, "fast"), after_ms=1)
    pool.adopt(ruled("strict"))
    pool.join("n1", slots=2)
    assert picked(pool) == [a_job(2), a_job(1)]


def test_one_tenants_ten_thousand_jobs_delay_anothers_first_by_one_pick() -> None:
    pool = Pool(ruled("promise"), check=False)
    pool.publish()
    for number in range(0, 10_000, 500):
        pool.tell(*(submission(n, "slow", tenant="flood") for n in range(number, number + 500)))
    pool.join("n1", slots=5)
    pool.tell(submission(10_000, "slow", tenant="small"), after_ms=5)
    pool.start(min(job for job, attempt in pool.state.node_attempts["n1"].items() if not attempt.started))
    running = min(job for job, attempt in pool.state.node_attempts["n1"].items() if attempt.started)
    pool.succeed(running)
    assert picked(pool)[0] == a_job(10_000)


def test_tenants_share_a_tier_by_weight_and_a_burst_costs_more() -> None:
    weights = {"acme": 3}
    for policy, share in (
        (ruled("fifo", tenant_weights=weights, tenant_burst=1_000), 30),
        (ruled("fifo", tenant_burst=10, tenant_burst_penalty=1), 20),
        (ruled("fifo", tenant_weights=weights, tenant_burst=10, tenant_burst_penalty=2), 30),
    ):
        pool = Pool(policy)
        pool.publish()
        pool.tell(*(submission(number, "slow", tenant=("acme", "globex")[number % 2]) for number in range(120)))
        pool.join("n1", slots=20)
        tenants = [pool.job(job).tenant for job in picked(pool)]
        assert len(tenants) == 40
        assert tenants.count("acme") == share


def test_within_a_tenant_the_oldest_goes_first() -> None:
    pool = Pool(ruled("promise"))
    pool.publish()
    for number in range(12):
        pool.tell(submission(number, "slow", tenant=f"t{number % 3}"), after_ms=1)
    pool.join("n1", slots=6)
    for tenant in range(3):
        mine = [job for job in picked(pool) if pool.job(job).tenant == f"t{tenant}"]
        assert mine == [a_job(number) for number in range(tenant, 12, 3)]


def test_a_job_whose_version_is_loaded_goes_first_while_the_one_passed_over_has_time() -> None:
    for waited_ms, jobs, expected in ((4_000, 64, 2), (6_000, 64, 1), (4_000, 0, 1), (4_000, 1, 1)):
        policy = ruled("promise", look_ahead_jobs=jobs)
        pool = Pool(msgspec.structs.replace(policy, clusters={"east": Cluster("main", 9, staged_per_slot=0)}))
        pool.publish("a")
        pool.publish("b")
        pool.join("n1")
        pool.tell(submission(9, "slow", "b"))
        pool.start(a_job(9))
        pool.tell(submission(1, "slow", "a"))
        pool.tell(submission(2, "slow", "b"), after_ms=1)
        pool.tick(waited_ms)
        pool.succeed(a_job(9))
        (only_one,) = only(pool.events, JobDispatched)
        assert only_one.job == a_job(expected)
        assert only_one.passed == (a_job(1) if expected == 2 else "")
        assert only_one.next_job == a_job(3 - expected)


def test_promise_serves_what_is_on_time_and_bounds_every_wait() -> None:
    """The higher tier alone brings more than the slots take, for ever. The jobs of the lower tier start all the
    same."""
    policy = ruled("promise", tiers={"fast": Tier(1_000), "slow": Tier(2_000)}, promise_max=2, look_ahead_jobs=0)
    policy = msgspec.structs.replace(policy, clusters={"east": Cluster("main", 10_000, staged_per_slot=0)})
    pool = Pool(policy, check=False)
    pool.publish()
    pool.join("n1")
    pool.tell(submission(0, "slow"), submission(1, "fast"))
    started, said = False, set()
    for number in range(2, 400, 2):
        held = pool.state.node_attempts["n1"]
        for job in sorted(held):
            pool.start(job)
            pool.succeed(job)
        pool.tell(submission(number, "fast"), submission(number + 1, "fast"), after_ms=100)
        pool.beat()
        for batch in pool.batches[-4:]:
            for event in only(batch.events, JobDispatched):
                said.add(event.reason)
                if event.job == a_job(0):
                    started = True
                    assert event.waited_ms <= 2 * 2_000 + 32 * 2 * 100
    assert started
    assert pool.state.promise.worst > 1_000, "strict priority would have broken its SLOs"
    assert said <= {"due", "on_time", "last_chance", "catch_up", "overdue"}


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_facts_of_a_discipline_survive_a_snapshot(discipline: str) -> None:
    pool = Pool(ruled(discipline))
    pool.publish()
    pool.join("n1", slots=3)
    for number in range(30):
        tier, tenant = ("fast", "slow")[number % 2], f"t{number % 3}"
        pool.tell(submission(number, tier, tenant=tenant), after_ms=200)
    again = snapshot.decode(snapshot.encode(pool.state))
    assert snapshot.state_hash(again) == snapshot.state_hash(pool.state)
    pool.state = again
    pool.join("n2", slots=5)
    assert len(picked(pool)) == 10
