"""Draining a cluster, bringing it back, and policies that change under running work."""

from __future__ import annotations

import msgspec

from contract.events import AttemptClosed, InputQuarantined, JobDispatched, KillOrdered, RecallOrdered, ReportStale
from contract.inputs import ClusterActivated, ClusterDrainRequested, PolicyApplied
from contract.policy import Cluster, Policy, Tier, fingerprint
from tests.unit.scheduling.specification import POLICY, Pool, a_job, names, only, submission


def with_two_jobs() -> Pool:
    """Job 1 runs on n1 of east, job 2 is staged behind it."""
    pool = Pool()
    pool.publish()
    pool.join("n1")
    pool.tell(submission(1), submission(2))
    pool.start(a_job(1))
    return pool


def test_a_draining_cluster_gets_nothing_and_its_staged_attempts_are_recalled() -> None:
    pool = with_two_jobs()
    events = pool.tell(ClusterDrainRequested("east", 0))
    assert names(events) == ["ClusterDraining", "RecallOrdered"]
    assert only(events, RecallOrdered)[0].reason == "drain"
    pool.stop(a_job(2), "recalled")
    assert not only(pool.events, JobDispatched)
    pool.succeed(a_job(1))
    pool.tick(25_000)
    assert pool.events == []


def test_what_runs_at_the_deadline_is_pre_empted_and_requeued_at_its_age_without_a_failure() -> None:
    pool = with_two_jobs()
    submitted_ms = pool.job(a_job(1)).submitted_ms
    pool.tell(ClusterDrainRequested("east", pool.now_ms + 10_000))
    pool.tick(9_999)
    assert not only(pool.events, KillOrdered)
    assert only(pool.tick(1), KillOrdered) == [KillOrdered(a_job(1), pool.dispatch(a_job(1)), "pre_empt")]
    assert pool.tick(1) == []
    (closed,) = only(pool.stop(a_job(1), "killed"), AttemptClosed)
    assert (closed.reason, closed.counts) == ("pre_empted", False)
    assert (pool.job(a_job(1)).failures, pool.job(a_job(1)).submitted_ms) == (0, submitted_ms)


def test_a_result_that_comes_before_the_kill_took_hold_is_accepted() -> None:
    pool = with_two_jobs()
    pool.tell(ClusterDrainRequested("east", pool.now_ms + 1))
    pool.tick(1)
    assert names(pool.succeed(a_job(1))) == ["JobSucceeded"]


def test_a_recalled_attempt_that_starts_runs_on_until_the_deadline() -> None:
    pool = with_two_jobs()
    pool.tell(ClusterDrainRequested("east", pool.now_ms + 10_000))
    pool.succeed(a_job(1))
    assert names(pool.start(a_job(2))) == ["AttemptStarted"]
    pool.tick(10_000)
    assert only(pool.events, KillOrdered)


def test_a_cluster_that_returns_takes_work_again() -> None:
    pool = with_two_jobs()
    pool.tell(ClusterDrainRequested("east", 0))
    pool.stop(a_job(2), "recalled")
    assert names(pool.tell(ClusterActivated("east"))) == ["ClusterReturned", "JobDispatched"]


def test_draining_twice_or_an_unknown_cluster_is_stale_and_a_new_deadline_is_not() -> None:
    pool = with_two_jobs()
    pool.tell(ClusterDrainRequested("east", 0))
    assert pool.tell(ClusterDrainRequested("east", 0)) == [ReportStale("ClusterDrainRequested")]
    assert names(pool.tell(ClusterDrainRequested("east", 99)))[0] == "ClusterDraining"
    assert pool.tell(ClusterDrainRequested("nowhere", 0)) == [ReportStale("ClusterDrainRequested")]
    assert pool.tell(ClusterActivated("west")) == [ReportStale("ClusterActivated")]


def test_the_policy_in_force_again_is_no_event() -> None:
    pool = Pool()
    assert pool.tell(PolicyApplied(POLICY, fingerprint(POLICY))) == []


def test_a_policy_written_around_the_parser_is_quarantined() -> None:
    pool = Pool()
    zero = msgspec.structs.replace(POLICY, tiers={"free": Tier(0)})
    for policy, claimed in ((zero, fingerprint(zero)), (POLICY, "sha256:other")):
        (quarantined,) = pool.tell(PolicyApplied(policy, claimed))
        assert isinstance(quarantined, InputQuarantined)
    assert pool.state.policy == POLICY


def test_a_policy_that_drops_a_tier_lets_its_jobs_go_on_and_refuses_new_ones() -> None:
    pool = Pool()
    pool.publish()
    pool.tell(submission(1, "light"))
    pool.adopt(msgspec.structs.replace(POLICY, tiers={"free": Tier(100_000)}))
    assert names(pool.tell(submission(2, "light"))) == ["JobRefused"]
    pool.join("n1")
    (dispatched,) = only(pool.events, JobDispatched)
    assert (dispatched.job, dispatched.slo_ms) == (a_job(1), 30_000), "its last SLO stays"


def test_a_new_slo_moves_jobs_that_wait() -> None:
    pool = Pool()
    pool.publish()
    pool.tell(submission(1, "free"))
    pool.tell(submission(2, "api"), after_ms=1_000)
    pool.tick(1_000)
    pool.adopt(msgspec.structs.replace(POLICY, tiers={"free": Tier(1_000), "api": Tier(10_000)}))
    pool.join("n1", slots=2)
    assert [event.job for event in only(pool.events, JobDispatched)] == [a_job(1), a_job(2)]


def test_a_policy_that_drops_a_cluster_lets_it_end_what_it_holds_and_sends_nothing_more() -> None:
    pool = with_two_jobs()
    pool.tell(submission(3))
    other = {"west": Cluster("main", 4), "east": Cluster("other", 4)}
    for clusters in ({"west": other["west"]}, other):
        pool.adopt(Policy(POLICY.tiers, POLICY.pools, clusters))
        assert pool.state.clusters["east"].limit == 0
    pool.succeed(a_job(1))
    assert names(pool.events) == ["JobSucceeded"]
    assert names(pool.start(a_job(2))) == ["AttemptStarted"]
    assert names(pool.join("n2")) == ["NodeRefused"]
    pool.adopt(POLICY)
    assert only(pool.events, JobDispatched)


def test_clusters_of_other_pools_are_none_of_ours() -> None:
    assert sorted(Pool().state.clusters) == ["east", "west"]
