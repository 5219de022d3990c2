"""Adaptive limits: just enough is staged to hide the fetching of inputs, and no slot stays empty because of a limit."""

from __future__ import annotations

from typing import Any

import pytest

from contract.events import JobDispatched, LimitAdapted
from contract.policy import Cluster, Policy
from scheduling.picking import limits
from tests.unit.scheduling.specification import POLICY, Pool, a_job, names, only, submission
from tests.unit.whatif.simulations import arrivals, policy, versions
from whatif.simulation.machines import standing
from whatif.simulation.nodes import Costs
from whatif.simulation.simulation import Simulation


def adaptive(limit: int, **more: Any) -> Policy:
    return Policy(POLICY.tiers, POLICY.pools, {"east": Cluster("main", limit, adaptive=True, **more)})


def with_times(fetch_ms: int, run_ms: int, slots: int = 4) -> Pool:
    """A pool in which one job took these times; its policy has just been adopted anew."""
    pool = Pool(adaptive(100))
    pool.publish()
    pool.join("n1", slots=slots)
    pool.tell(submission(0))
    pool.tick(fetch_ms)
    pool.start(a_job(0))
    pool.tick(run_ms)
    pool.succeed(a_job(0))
    return pool


def test_the_policys_limit_holds_until_both_times_were_seen() -> None:
    pool = Pool(adaptive(50))
    pool.publish()
    pool.join("n1")
    pool.tell(submission(0))
    pool.start(a_job(0))
    pool.tick(40_000, lease_ms=100)
    assert pool.state.clusters["east"].limit == 50
    pool.succeed(a_job(0))
    assert names(pool.events) == ["JobSucceeded", "LimitAdapted"]


@pytest.mark.parametrize(("fetch_ms", "run_ms", "limit"), [(100, 10_000, 5), (5_000, 10_000, 8), (600, 10_000, 6)])
def test_the_limit_is_the_slots_that_do_not_run_and_what_hides_the_fetching(
    fetch_ms: int, run_ms: int, limit: int
) -> None:
    """4 idle slots, plus 1.5 x 4 x fetch / run rounded up (or 1 node) where fetching is worth hiding, plus 1."""
    pool = with_times(fetch_ms, run_ms)
    (adapted,) = only(pool.events, LimitAdapted)
    assert adapted == LimitAdapted("east", limit, fetch_ms, run_ms, behind=limit - 5)
    pool.tell(submission(1))
    assert only(pool.events, JobDispatched)[0].limit == limit


def test_the_limit_stays_within_the_policys_and_a_policy_resets_it() -> None:
    pool = with_times(9_000, 1_000)
    assert pool.state.clusters["east"].limit == 59
    pool.adopt(adaptive(7))
    assert pool.state.clusters["east"].limit == 7
    pool.adopt(Policy(POLICY.tiers, POLICY.pools, {"east": Cluster("main", 90)}))
    assert pool.state.clusters["east"].limit == 90
    assert not only(pool.tick(60_000, caught_up=False), LimitAdapted), "it is not adaptive any more"


def test_a_limit_changes_by_a_quarter_or_more_and_not_too_often() -> None:
    pool = with_times(100, 10_000)
    pool.join("n2", slots=1)
    assert not only(pool.events, LimitAdapted), "one more slot is less than a quarter"
    pool.join("n3", slots=8)
    assert not only(pool.events, LimitAdapted), "too soon"
    for _ in range(3):
        pool.tick(10_000, caught_up=False)
    (adapted,) = only(pool.events, LimitAdapted)
    assert adapted.limit == 13 + 1


def test_a_limit_that_alone_keeps_a_slot_empty_is_raised_at_once() -> None:
    pool = with_times(100, 10_000)
    pool.join("n2", slots=40)
    pool.tell(*(submission(number) for number in range(1, 45)))
    free = sum(node.slots - len(pool.state.node_attempts[name]) for name, node in pool.state.nodes.items())
    assert (len(only(pool.events, LimitAdapted)), free) == (1, 0)
    sent = only(pool.events, JobDispatched)
    assert max(event.staged for event in sent) <= sent[-1].limit


def test_an_attempt_that_waited_behind_others_says_nothing_of_fetching() -> None:
    pool = with_times(1_000, 10_000, slots=1)
    pool.tell(submission(1))
    pool.tell(submission(2))
    pool.tick(1_000)
    pool.start(a_job(1))
    pool.tick(50_000, lease_ms=0)
    pool.succeed(a_job(1))
    pool.start(a_job(2))
    assert pool.state.clusters["east"].fetch_ms == 1_000


def test_nothing_is_staged_behind_running_attempts_where_fetching_takes_a_twentieth_of_the_run() -> None:
    """Whatever the limit is, the next slot that becomes free goes to the job that matters most at that moment."""
    for fetch_ms, staged in ((500, 0), (600, 1)):
        pool = with_times(fetch_ms, 10_000, slots=1)
        pool.tell(submission(1))
        pool.start(a_job(1))
        pool.tell(submission(2), submission(3))
        assert len(only(pool.events, JobDispatched)) == staged


def test_a_lower_limit_leaves_a_place_beside_what_is_in_flight() -> None:
    pool = with_times(5_000, 10_000, slots=2)
    pool.tell(*(submission(number) for number in range(1, 9)))
    held = len(pool.state.clusters["east"].staged)
    assert held == pool.state.clusters["east"].behind == 2


def test_times_are_smoothed_in_whole_ms() -> None:
    assert limits.smoothed(0, 0) == 1
    assert limits.smoothed(800, 0) == 700
    assert limits.smoothed(800, 1_600) == 900


def busy(limit: int, *, is_adaptive: bool) -> tuple[float, int, int]:
    """1,200 jobs of 2 to 18 s, whose inputs take 1 s, run on 40 slots. Returns the share of the slots' time that was
    idle, the most in flight after the start, and how often limits were adapted."""
    staged: list[int] = []
    adapted = 0

    def see(now_ms: int, events: object) -> None:
        nonlocal adapted
        assert isinstance(events, list)
        adapted += len(only(events, LimitAdapted))
        staged.extend(event.staged for event in only(events, JobDispatched) if now_ms > 60_000)

    rules = policy({"api": 60_000}, limit=limit)
    rules.clusters["east"] = Cluster("main", limit, adaptive=is_adaptive)
    given = arrivals((0, "api", 2_000 + number * 7_919 % 16_000) for number in range(1_200))
    fleet = standing("east", 40)
    costs = Costs(order_ms=20, fetch_ms=1_000)
    simulation = Simulation(rules, versions("film"), given, fleet, costs=costs, observer=see).run()
    last_start_ms = max(simulation.site.start_ms)
    idle = 1 - sum(min(end, last_start_ms) - start for start, end in _runs(simulation)) / (40 * last_start_ms)
    return idle, max(staged), adapted


def _runs(simulation: Simulation) -> list[tuple[int, int]]:
    return list(zip(simulation.site.start_ms, simulation.site.end_ms, strict=True))


def test_fetching_is_hidden_with_few_staged_and_few_events() -> None:
    """Unlimited push keeps the slots as busy, but parks all work on nodes. A small fixed limit leaves slots empty."""
    idle, most, adapted = busy(10_000, is_adaptive=True)
    full_idle, full_most, _ = busy(10_000, is_adaptive=False)
    small_idle, _, _ = busy(2, is_adaptive=False)
    print(idle, most, adapted, full_idle, full_most, small_idle)
    assert idle < full_idle + 0.01 < small_idle
    assert most <= full_most
    assert adapted < 20
