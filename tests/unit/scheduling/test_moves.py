"""Recalls `elsewhere`: an attempt that waits behind others while a slot that fits it stays free."""

from __future__ import annotations

from contract.events import JobDispatched, RecallOrdered
from contract.policy import Cluster, Policy
from tests.unit.scheduling.specification import POLICY, Pool, a_job, only, submission
from tests.unit.scheduling.test_dispatching import picked, roomy, with_east


def test_a_staged_attempt_is_recalled_when_a_slot_elsewhere_stays_free() -> None:
    pool = Pool(roomy())
    pool.publish()
    pool.join("n1")
    pool.tell(submission(1), submission(2))
    pool.start(a_job(1))
    pool.join("n2", "west")
    (recall,) = only(pool.events, RecallOrdered)
    assert (recall.job, recall.reason) == (a_job(2), "elsewhere")
    pool.tick(1_000)
    assert pool.events == [], "one recall for one free slot"
    pool.stop(a_job(2), "recalled")
    (again,) = only(pool.events, JobDispatched)
    assert (again.node, again.attempt, pool.job(a_job(2)).failures) == ("n2", 2, 0)


def test_a_free_slot_goes_to_a_waiting_job_before_it_recalls_one() -> None:
    pool = Pool(roomy())
    pool.publish()
    pool.join("n1")
    pool.tell(submission(1), submission(2), submission(3))
    pool.start(a_job(1))
    pool.join("n2", "west")
    assert picked(pool) == [a_job(3)]
    assert not only(pool.events, RecallOrdered)


def test_a_staged_attempt_about_to_start_is_not_recalled() -> None:
    pool = Pool(roomy())
    pool.publish()
    pool.join("n1")
    pool.tell(submission(1))
    pool.join("n2", "west")
    assert not only(pool.events, RecallOrdered)


def test_a_staged_attempt_is_not_recalled_for_a_slot_it_does_not_fit_or_a_full_cluster() -> None:
    policy = Policy(POLICY.tiers, POLICY.pools, {"east": Cluster("main", 9), "west": Cluster("main", 1)})
    pool = Pool(policy)
    pool.publish()
    pool.join("n1")
    pool.tell(submission(1), submission(2))
    pool.start(a_job(1))
    pool.join("n2", "west", chipset="cuda")
    assert not only(pool.events, RecallOrdered)


def test_a_job_is_moved_about_a_few_times_only() -> None:
    pool = Pool(roomy())
    pool.publish()
    pool.join("n1", slots=1)
    pool.tell(submission(1), submission(2))
    pool.start(a_job(1))
    for session in ("a", "b", "c", "d", "e"):
        pool.join("n2", "west", session=session)
        if not only(pool.events, RecallOrdered):
            break
        pool.leave("n2", session)
        pool.stop(a_job(2), "recalled")
    assert pool.job(a_job(2)).recalls == 3


def test_a_staged_attempt_is_recalled_when_its_own_clusters_limit_keeps_a_slot_empty() -> None:
    pool = Pool(with_east(1))
    pool.publish()
    pool.join("n1")
    pool.tell(submission(1))
    pool.start(a_job(1))
    pool.tell(submission(2), submission(3))
    (sent,) = picked(pool)
    pool.join("n2")
    assert [event.job for event in only(pool.events, RecallOrdered)] == [sent], "it fills the limit behind job 1"
    pool.stop(sent, "recalled")
    assert [event.node for event in only(pool.events, JobDispatched)] == ["n2"]
