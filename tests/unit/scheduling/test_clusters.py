"""Draining a cluster, bringing it back, and policies that change under running work."""

from __future__ import annotations

import msgspec

from contract.events import AttemptClosed, InputQuarantined, JobDispatched, KillOrdered, RecallOrdered, ReportStale
from contract.inputs import ClusterActivated, ClusterDrainRequested, PolicyApplied, Requirements
from contract.names import job_id
from contract.policy import Cluster, Policy, Tier, fingerprint
from tests.unit.scheduling.specification import POLICY, Pool, a_job, names, only, submission


def with_two_jobs() -> Pool:
    """A pool in which job 1 runs on n1 of east and job 2 is staged behind job 1."""
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


def moved(to: str) -> Policy:
    return msgspec.structs.replace(POLICY, clusters={**POLICY.clusters, "east": Cluster(to, 4)})


def test_a_cluster_moves_between_pools_by_drain_release_and_join() -> None:
    main, other = with_two_jobs(), Pool(name="other")
    other.publish()
    there = msgspec.structs.replace(submission(7), job=job_id("other", "test", "7"))
    assert names(other.tell(there)) == ["JobAccepted"], "its own cluster has no node"
    main.join("w1", "west")
    main.tell(ClusterDrainRequested("east", main.now_ms + 10_000))
    main.stop(a_job(2), "recalled")
    assert only(main.events, JobDispatched)[0].cluster == "west"
    main.beat("w1")
    main.beat(after_ms=10_000)
    main.stop(a_job(1), "killed")
    assert not main.state.clusters["east"].open, "drained"
    for pool in (main, other):
        pool.adopt(moved("other"))
    assert names(main.leave()) == ["NodeDrained", "NodeDeparted"]
    assert names(other.join("n1", session="s2")) == ["NodeAdmitted", "JobDispatched"]
    assert names(main.join("n1", session="s3")) == ["NodeRefused"], "it is not there any more"
    for pool in (main, other):
        pool.adopt(POLICY)
    main.join("n1", session="s4")
    main.tell(submission(8), submission(9))
    assert "east" in {event.cluster for event in only(main.events, JobDispatched)}, "back, and active"
    assert names(other.join("n9", session="s5")) == ["NodeRefused"]


def test_classes_and_pools_stand_side_by_side() -> None:
    """Jobs of each class go where they fit, whoever waits before them in another class."""
    pool = Pool()
    pool.publish("tiny")
    pool.publish("wide", Requirements(("cuda", "rocm"), 2, 1_000))
    pool.publish("deep", Requirements(("cuda",), 1, 80_000))
    for place, model in enumerate(("deep", "deep", "wide", "tiny")):
        pool.tell(submission(place, model=model))
    pool.join("e1", "east")
    pool.join("w1", "west", chipset="rocm", gpus=2, memory_mib=24_000)
    pool.join("w2", "west", chipset="cuda", gpus=1, memory_mib=90_000)
    went = {e.job: e.node for batch in pool.batches for e in only(batch.events, JobDispatched)}
    assert went == {a_job(3): "e1", a_job(2): "w1", a_job(0): "w2", a_job(1): "w2"}
    assert names(pool.join("f1", "far")) == ["NodeRefused"]
