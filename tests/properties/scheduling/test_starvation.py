"""Nobody starves: higher tiers that alone bring more than the slots take, for ever, delay the lower tiers by a bound.

Each slot ends one job in each step. A job of the low tier is counted from its acceptance to its dispatch.
"""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from contract.events import JobDispatched, PreparationOrdered
from contract.inputs import AliasMoved, NodeReport, Started, Succeeded, VersionPublished
from contract.policy import DISCIPLINES, Cluster, Policy, Tier
from contract.policy_document import PolicyInvalid, parse
from contract.preparation_reports import PreparationRefused
from tests.unit.scheduling.specification import CPU, MANIFEST, POLICY, Pool, a_job, only, submission, version_of

SOME = settings(max_examples=15, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
"""Failing examples are not made smaller: a life in which somebody starves is a long life."""
STEP_MS = 100
STEPS_MAX = 600
"""The most steps for `promise`. The worst of these worlds needs about 320."""
LOW_JOBS = st.lists(st.integers(0, 9), min_size=1, max_size=4)
"""The step at which each job of the low tier is submitted."""


class Flooded:
    """A pool whose slots are busy from the first step on, because `flood` jobs of the higher tier come at every
    step."""

    def __init__(self, policy: Policy, slots: int, flood: int, low_steps: list[int]) -> None:
        self.submitted_ms: dict[str, int] = {}
        """By job: when it was submitted."""
        self.started: list[tuple[str, int]] = []
        """The jobs that were dispatched, in order, each with the time."""
        self._flood = flood
        self._low = {a_job(number): step for number, step in enumerate(low_steps)}
        self._next = len(low_steps)
        self.pool = Pool(policy, check=False)
        self.pool.publish()
        self.pool.join("n1", slots=slots)

    @property
    def low_waits(self) -> set[str]:
        return self._low.keys() - {job for job, _ in self.started}

    def step(self, place: int) -> None:
        pool = self.pool
        held = sorted(pool.state.node_attempts["n1"].items())
        ended = [
            report
            for job, attempt in held
            for report in (Started(job, attempt.dispatch), Succeeded(job, attempt.dispatch, MANIFEST))
        ]
        low = [submission(number, "low") for number in range(len(self._low)) if self._low[a_job(number)] == place]
        high = [submission(number, "high") for number in range(self._next, self._next + self._flood)]
        self._next += self._flood
        pool.tell(*low, *high, NodeReport("n1", "s1", tuple(ended)), after_ms=STEP_MS, lease_ms=0)
        self.submitted_ms |= {body.job: pool.now_ms for body in (*low, *high)}
        self.started += [(event.job, pool.now_ms) for event in only(pool.events, JobDispatched)]


def ruled(discipline: str, high_ms: int, low_ms: int, cap: int = 20) -> Policy:
    """A policy of two tiers under which each slot has one job and nothing is staged."""
    policy = Policy(
        {"high": Tier(high_ms), "low": Tier(low_ms)}, POLICY.pools, {}, discipline=discipline, may_starve=True
    )
    clusters = {
        "east": Cluster("main", 1_000, staged_per_slot=0),
        "cpus": Cluster("main", 1_000, kind="prepare"),
    }
    return msgspec.structs.replace(policy, clusters=clusters, promise_max=cap)


@SOME
@given(LOW_JOBS, st.integers(1, 4), st.integers(1, 3), st.sampled_from((2_000, 3_100)), st.integers(1, 2))
def test_promise_starts_every_job_within_its_cap_and_32_dispatches_for_each_overdue_before_it(
    low_steps: list[int], slots: int, more: int, low_ms: int, cap: int
) -> None:
    """The bound of docs/decisions/0008. The tier above has on-time jobs at every pick."""
    flooded = Flooded(ruled("promise", 300, low_ms, cap), slots, slots + more, low_steps)
    for place in range(STEPS_MAX):
        flooded.step(place)
        if place > max(low_steps) and not flooded.low_waits:
            break
    assert not flooded.low_waits, "started at all"
    _check_bound(flooded, low_ms, cap)


def _check_bound(flooded: Flooded, low_ms: int, cap: int) -> None:
    slo_ms = {job: low_ms if job in flooded._low else 300 for job in flooded.submitted_ms}
    due = {job: (at_ms + cap * slo_ms[job], job) for job, at_ms in flooded.submitted_ms.items()}
    at_ms = dict(flooded.started)
    for job in flooded._low:
        due_ms = due[job][0]
        before = [
            other
            for other, entry in due.items()
            if entry < due[job] and flooded.submitted_ms[other] <= due_ms and at_ms.get(other, due_ms) >= due_ms
        ]
        place = [other for other, _ in flooded.started].index(job)
        dispatches = sum(1 for _, started_ms in flooded.started[: place + 1] if started_ms >= due_ms)
        assert dispatches <= 32 * (len(before) + 1)


class FloodedWorkers(Flooded):
    """Instead of slots, CPU workers are busy. Media of the higher tier are refused, those of the lower one too."""

    def __init__(self, policy: Policy, slots: int, flood: int, low_steps: list[int]) -> None:
        super().__init__(policy, slots, flood, low_steps)
        version = version_of("edit")
        published = VersionPublished("edit", version, CPU, 60_000, prepares=version_of("rules"))
        self.pool.tell(published, AliasMoved("edit", "live", version, 1))
        self.pool.join("w1", "cpus", slots, kind="prepare")

    def step(self, place: int) -> None:
        pool = self.pool
        held = sorted(pool.state.node_attempts["w1"].items())
        ended = [PreparationRefused(job, attempt.dispatch, "damaged") for job, attempt in held]
        low = [number for number in range(len(self._low)) if self._low[a_job(number)] == place]
        high = range(self._next, self._next + self._flood)
        self._next += self._flood
        bodies = [submission(number, "low", "edit", media=1) for number in low]
        bodies += [submission(number, "high", "edit", media=1) for number in high]
        pool.tell(*bodies, NodeReport("w1", "s1", tuple(ended)), after_ms=STEP_MS, lease_ms=0)
        self.submitted_ms |= {body.job: pool.now_ms for body in bodies}
        self.started += [(event.job, pool.now_ms) for event in only(pool.events, PreparationOrdered)]


@SOME
@given(LOW_JOBS, st.integers(1, 4), st.integers(1, 3), st.sampled_from((2_000, 3_100)), st.integers(1, 2))
def test_cpu_workers_prepare_every_job_within_its_cap_and_32_orders_for_each_overdue_before_it(
    low_steps: list[int], slots: int, more: int, low_ms: int, cap: int
) -> None:
    """The bound of `promise` holds before CPU workers too, under whatever discipline (docs/decisions/0044)."""
    flooded = FloodedWorkers(ruled("fifo", 300, low_ms, cap), slots, slots + more, low_steps)
    for place in range(STEPS_MAX):
        flooded.step(place)
        if place > max(low_steps) and not flooded.low_waits:
            break
    assert not flooded.low_waits, "prepared at all"
    _check_bound(flooded, low_ms, cap)


@SOME
@given(LOW_JOBS, st.integers(2, 4), st.integers(0, 2))
def test_wait_fraction_starts_every_job_while_the_overload_is_less_than_the_slos_allow(
    low_steps: list[int], times: int, more: int
) -> None:
    """A job of the tier above goes before one that has waited w only if it came before the last w / `times` of it. So
    w / step x slots <= queue + flood x (1 - 1 / times) x w / step, which bounds w."""
    slots = times + more
    flood = slots + 1  # the tier above alone brings more than the slots take
    flooded = Flooded(ruled("wait_fraction", 1_000, 1_000 * times), slots, flood, low_steps)
    queue = (1 + max(low_steps)) * (flood - slots) + len(low_steps)
    steps_max = (queue + flood + slots) / (slots - Fraction(flood * (times - 1), times))
    for place in range(1 + max(low_steps) + int(steps_max)):
        flooded.step(place)
        if place > max(low_steps) and not flooded.low_waits:
            break
    assert not flooded.low_waits


@pytest.mark.parametrize("discipline", sorted(set(DISCIPLINES) - {"shortest_first"}))
def test_a_discipline_that_starves_the_lowest_tier_is_refused_in_a_policy_document(discipline: str) -> None:
    """The tier above brings three times what the slots take. `shortest_first` knows no tiers; it starves long jobs."""
    flooded = Flooded(ruled(discipline, 1_000, 2_000, cap=2), slots=2, flood=6, low_steps=[3])
    for place in range(400):
        flooded.step(place)
    document = "tiers: {high: {slo: 1s}, low: {slo: 2s}}\npools: {main: {partition: 0}}\n"
    document += f"clusters: {{east: {{pool: main, limit: 4}}}}\ndiscipline: {discipline}\n"
    if flooded.low_waits:
        with pytest.raises(PolicyInvalid, match="wait for ever"):
            parse(document)
    else:
        parse(document)
