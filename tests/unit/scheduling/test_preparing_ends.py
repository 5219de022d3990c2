"""How a preparation ends, and who is heard: at most one is open, and a word counts only if it names that one."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from contract.events import (
    InputsPrepared,
    InputsRefused,
    JobCancelled,
    JobExpired,
    NodeDrained,
    PreparationClosed,
    PreparationOrdered,
    ReportStale,
)
from contract.inputs import (
    ClusterDrainRequested,
    EraseRequested,
    Failed,
    NodeHeartbeat,
    NodeReport,
    PolicyApplied,
    Started,
    Stopped,
    Succeeded,
)
from contract.lifecycle import JobState
from contract.orders import Drain, Kill, Prepare, Rejoin
from contract.policy import Cluster, fingerprint
from contract.preparation_reports import PreparationDone, PreparationRefused, PreparationStopped
from scheduling.attempts import orders, retries
from tests.unit.scheduling.preparing import PreparingPool, events_of, ordered, preparing_policy
from tests.unit.scheduling.specification import MANIFEST, POOL, a_job, names, only, submission

JOB = a_job(1)


def waiting() -> PreparingPool:
    pool = PreparingPool(workers=0)
    pool.submit(1, expires_ms=pool.now_ms + 90_000)
    return pool


def being_prepared() -> PreparingPool:
    pool = PreparingPool()
    pool.submit(1, expires_ms=pool.now_ms + 90_000)
    return pool


def resting() -> PreparingPool:
    pool = being_prepared()
    pool.stopped(1, "outage")
    return pool


PHASES = [waiting, being_prepared, resting]
Phase = Callable[[], PreparingPool]


# the end of the job, in each phase


@pytest.mark.parametrize("phase", PHASES)
def test_a_cancel_an_erasure_and_a_deadline_end_the_job_at_once(phase: Phase) -> None:
    for reason in ("cancel", "erase", "expired"):
        pool = phase()
        held = pool.job(JOB).open
        if reason == "expired":
            pool.tick(90_000, lease_ms=0)
            assert only(pool.events, JobExpired)
        elif reason == "erase":
            pool.tell(EraseRequested(JOB, "acme"))
            assert names(pool.events)[-2:] == ["JobCancelled", "ErasureOrdered"]
        else:
            pool.cancel(JOB, "acme")
            assert only(pool.events, JobCancelled) == [JobCancelled(JOB, "cancel")]
        closed = only(pool.events, PreparationClosed)
        kills = [order for order in pool.orders() if isinstance(order, Kill)]
        assert [event.reason for event in closed] == ([reason] if held is not None else [])
        assert [order.dispatch for order in kills] == ([held.dispatch] if held is not None else [])
        assert JOB not in pool.state.jobs
        assert pool.state.preparing.requirement_class.waiting == 0
        assert not pool.state.preparing.resting


@pytest.mark.parametrize("phase", PHASES)
def test_another_tenant_ends_nothing_and_a_copy_is_a_duplicate(phase: Phase) -> None:
    pool = phase()
    assert only(pool.cancel(JOB, "zeta"), ReportStale)
    assert names(pool.tell(EraseRequested(JOB, "zeta"))) == ["ReportStale"]
    assert "JobDuplicated" in names(pool.tell(submission(1, model="edit", media=1)))
    assert pool.job(JOB).state is JobState.PREPARING


def test_a_job_that_ended_before_its_inputs_came_stays_ended() -> None:
    pool = being_prepared()
    late = PreparationDone(JOB, pool.dispatch(JOB), MANIFEST)
    pool.cancel(JOB)
    assert pool.tell(NodeReport("w1", "s1", (late,))) == [ReportStale("PreparationDone")]
    assert "JobDuplicated" in names(pool.tell(submission(1, model="edit", media=1)))


# who is heard


def test_of_two_answers_the_first_one_counts() -> None:
    pool = being_prepared()
    named = pool.dispatch(JOB)
    done, refused = PreparationDone(JOB, named, MANIFEST), PreparationRefused(JOB, named, "damaged")
    assert names(pool.tell(NodeReport("w1", "s1", (done, done, refused)))) == [
        "InputsPrepared",
        "ReportStale",
        "ReportStale",
    ]
    pool = being_prepared()
    done, refused = PreparationDone(JOB, named, MANIFEST), PreparationRefused(JOB, named, "damaged")
    assert names(pool.tell(NodeReport("w1", "s1", (refused, done)))) == ["InputsRefused", "ReportStale"]


def test_only_the_worker_and_the_session_that_got_the_order_are_heard() -> None:
    pool = PreparingPool(workers=2)
    pool.submit(1)
    done = PreparationDone(JOB, pool.dispatch(JOB), MANIFEST)
    other = PreparationDone(JOB, "1.1.1", MANIFEST)
    unknown = PreparationDone(a_job(9), pool.dispatch(JOB), MANIFEST)
    for node, session, report in (("w2", "s1", done), ("w1", "s0", done), ("w1", "s1", other), ("w1", "s1", unknown)):
        assert pool.tell(NodeReport(node, session, (report,))) == [ReportStale("PreparationDone")]
    assert "InputsPrepared" in names(pool.tell(NodeReport("w1", "s1", (done,))))


def test_words_of_attempts_say_nothing_of_a_preparation_and_the_other_way_round() -> None:
    pool = being_prepared()
    named = pool.dispatch(JOB)
    words = (
        Started(JOB, named),
        Succeeded(JOB, named, MANIFEST),
        Failed(JOB, named, "model_error"),
        Stopped(JOB, named, "killed"),
    )
    assert names(pool.tell(NodeReport("w1", "s1", words))) == ["ReportStale"] * 4
    pool.prepared(1)
    pool.join("n1")
    attempt = pool.dispatch(JOB)
    said = (PreparationDone(JOB, attempt, MANIFEST), PreparationStopped(JOB, attempt, "outage"))
    assert names(pool.tell(NodeReport("n1", "s1", said))) == ["ReportStale"] * 2


# the end of a preparation


@pytest.mark.parametrize(
    ("reason", "rest_ms"), [("killed", 2_000), ("unclaimed", 2_000), ("outage", 2_000), ("drained", 0)]
)
def test_what_a_worker_gives_back_counts_nothing_and_is_prepared_anew(reason: str, rest_ms: int) -> None:
    pool = being_prepared()
    first = pool.dispatch(JOB)
    (closed,) = only(pool.stopped(1, reason), PreparationClosed)
    assert closed.reason == ("unclaimed" if reason == "killed" else reason)
    assert (closed.counts, pool.job(JOB).worker_losses) == (False, 0)
    assert closed.eligible_lease_ms == (pool.state.lease_ms + rest_ms if rest_ms else 0)
    assert bool(only(pool.events, NodeDrained)) == (reason == "drained")
    pool.join_worker("w2")
    assert bool(only(pool.events, PreparationOrdered)) == (not rest_ms), "not to w1, which drains"
    pool.beat("w2", after_ms=rest_ms)
    assert pool.dispatch(JOB) != first
    assert pool.job(JOB).attempts == pool.job(JOB).failures == 0


def test_outages_rest_up_to_the_longest_backoff_and_refuse_nothing() -> None:
    pool = PreparingPool(preparing_policy(backoff_max_ms=5_000))
    pool.submit(1)
    rests = []
    for _ in range(9):
        (closed,) = only(pool.stopped(1, "outage"), PreparationClosed)
        rests.append(closed.eligible_lease_ms - pool.state.lease_ms)
        pool.beat("w1", after_ms=5_000)
    assert rests == [2_000, 4_000, *[5_000] * 7]
    assert pool.job(JOB).state is JobState.PREPARING
    pool.stopped(1, "drained")
    assert pool.job(JOB).rests == 0, "outages in a row"


def test_a_rest_stands_still_in_an_outage_of_ours() -> None:
    pool = resting()
    pool.tell(after_ms=60_000, lease_ms=0)
    assert not only(pool.events, PreparationOrdered)


def leaves(pool: PreparingPool) -> None:
    pool.leave("w1")


def comes_back(pool: PreparingPool) -> None:
    pool.join_worker("w1", session="s2", slots=2)


def is_lost(pool: PreparingPool) -> None:
    for _ in range(4):
        pool.beat("w2", after_ms=9_000)


def is_revoked(pool: PreparingPool) -> None:
    policy = msgspec.structs.replace(pool.policy, revoked=("node.cpus/w1",))
    pool.tell(PolicyApplied(policy, fingerprint(policy)))


def drains_to_its_deadline(pool: PreparingPool) -> None:
    pool.tell(ClusterDrainRequested("cpus", pool.now_ms + 1_000))
    assert not only(pool.events, PreparationClosed)
    pool.tick(1_000)


def is_deaf(pool: PreparingPool) -> None:
    for _ in range(9):
        pool.tell(NodeHeartbeat("w1", "s1"), NodeHeartbeat("w2", "s1"), after_ms=5_000)


@pytest.mark.parametrize(
    ("happens", "reason", "counts", "kills"),
    [
        (leaves, "drained", False, 0),
        (comes_back, "rejoined", True, 0),
        (is_lost, "lost", True, 0),
        (is_revoked, "revoked", False, 0),
        (drains_to_its_deadline, "pre_empted", False, 2),
        (is_deaf, "unclaimed", False, 0),
    ],
)
def test_what_becomes_of_the_preparations_of_a_worker(
    happens: Callable[[PreparingPool], None], reason: str, counts: bool, kills: int
) -> None:
    pool = PreparingPool(slots=2)
    pool.submit(1)
    pool.submit(2)
    pool.join_worker("w2")
    happens(pool)
    closed = events_of(pool, PreparationClosed)
    assert [(event.reason, event.counts) for event in closed] == [(reason, counts)] * 2
    assert sum(isinstance(order, Kill) for order in pool.orders()) == kills
    assert {pool.job(a_job(number)).worker_losses for number in (1, 2)} == {int(counts)}
    if reason == "unclaimed":
        assert any(isinstance(order, Rejoin) for order in pool.orders()), "it holds nothing any more"


def test_at_the_deadline_of_a_draining_cluster_its_preparations_go_elsewhere() -> None:
    more = {"more": Cluster(POOL, 4, kind="prepare")}
    pool = PreparingPool(msgspec.structs.replace(preparing_policy(), clusters=preparing_policy().clusters | more))
    pool.join_worker("w1")
    pool.submit(1)
    pool.join("x1", "more", kind="prepare")
    drains_to_its_deadline(pool)
    assert pool.attempt(JOB).cluster == "more"


def test_a_draining_cluster_without_a_deadline_lets_its_preparations_finish() -> None:
    pool = being_prepared()
    pool.tell(ClusterDrainRequested("cpus", 0))
    pool.tick(80_000, lease_ms=0)
    assert not events_of(pool, PreparationClosed)
    assert "InputsPrepared" in names(pool.prepared(1))


def test_media_over_which_five_workers_were_lost_are_refused_and_a_success_forgets_the_losses() -> None:
    pool = PreparingPool()
    pool.submit(1)
    for life in range(2, 2 + retries.WORKER_LOSSES_MAX - 1):
        pool.join_worker("w1", session=f"s{life}")
        pool.beat("w1", f"s{life}", after_ms=29_000)
    assert pool.job(JOB).worker_losses == retries.WORKER_LOSSES_MAX - 1
    pool.prepared(1)
    assert (pool.job(JOB).state, pool.job(JOB).worker_losses) == (JobState.QUEUED, 0)
    pool = PreparingPool()
    pool.submit(1)
    rests = []
    for life in range(2, 2 + retries.WORKER_LOSSES_MAX):
        events = pool.join_worker("w1", session=f"s{life}")
        rests.append(only(events, PreparationClosed)[0].eligible_lease_ms - pool.state.lease_ms)
        pool.beat("w1", f"s{life}", after_ms=29_000)
    assert rests == [2_000, 4_000, 8_000, 16_000, 32_000][: retries.WORKER_LOSSES_MAX]
    assert events_of(pool, InputsRefused) == [InputsRefused(JOB, "", "worker_lost")]


# orders


def test_an_order_is_repeated_until_the_worker_lists_it_and_no_longer() -> None:
    pool = being_prepared()
    assert not pool.beat("w1", staged=(), after_ms=1_000) or pool.orders() == []
    pool.beat("w1", staged=(), after_ms=4_000)
    assert [type(order) for order in pool.orders()] == [Prepare]
    pool.beat("w1", after_ms=5_000)
    assert pool.orders() == []
    named = pool.dispatch(JOB)
    pool.beat("w1", staged=(), running=(named,), after_ms=5_000)
    assert pool.orders() == []


def test_a_newcomer_sends_every_order_anew() -> None:
    pool = being_prepared()
    (before,) = orders.standing_orders(pool.state)
    pool.take_over()
    (again,) = orders.standing_orders(pool.state)
    assert isinstance(before, Prepare)
    assert isinstance(again, Prepare)
    assert again == msgspec.structs.replace(before, epoch=before.epoch + 1)


def test_a_worker_stops_what_is_not_open_any_more_whenever_it_lists_that() -> None:
    pool = being_prepared()
    named = pool.dispatch(JOB)
    pool.cancel(JOB)
    pool.beat("w1", staged=(named,), after_ms=5_000)
    assert pool.orders() == [Kill("w1", "s1", "main", pool.state.epoch, "", named)]


def test_a_worker_that_drains_and_claims_to_take_work_is_told_to_drain() -> None:
    pool = PreparingPool(slots=2)
    pool.submit(1)
    pool.beat("w1", draining=True)
    pool.beat("w1")
    assert any(isinstance(order, Drain) for order in pool.orders())


def test_an_order_says_what_the_policy_says_of_preparations() -> None:
    pool = PreparingPool(preparing_policy(prepare_timeout_ms=5_000, keep_sources=True))
    pool.submit(1)
    (order,) = pool.orders()
    assert isinstance(order, Prepare)
    assert (order.timeout_ms, order.keep_sources, order.offset) == (5_000, True, pool.job(JOB).offset)


def test_a_preparation_is_at_most_one_of_a_job_and_never_an_attempt() -> None:
    pool = PreparingPool(workers=3, slots=2)
    for number in range(4):
        pool.submit(number)
    assert len({job for job, _ in ordered(pool)}) == len(ordered(pool)) == 4
    pool.join("n1", slots=4)
    for number in range(4):
        pool.prepared(number)
    assert [pool.attempt(a_job(number)).attempt for number in range(4)] == [1] * 4
    assert len(events_of(pool, InputsPrepared)) == 4
