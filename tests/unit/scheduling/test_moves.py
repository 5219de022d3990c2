"""Recalls `elsewhere`: an attempt that waits behind others while a slot that fits it stays free."""

from __future__ import annotations

from contract.events import JobDispatched, RecallOrdered
from contract.policy import Cluster, Policy
from tests.unit.scheduling.dispatched import picked, roomy, with_east
from tests.unit.scheduling.specification import CUDA, POLICY, Pool, a_job, only, submission


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


def test_a_job_is_recalled_as_often_as_a_slot_elsewhere_stays_free() -> None:
    """Each time the slot is gone before the job can take it, so no start follows the recall; the next slot leads to the
    next recall."""
    pool = Pool(roomy())
    pool.publish()
    pool.join("n1", slots=1)
    pool.tell(submission(1), submission(2))
    pool.start(a_job(1))
    for session in ("a", "b", "c", "d", "e"):
        pool.join("n2", "west", session=session)
        assert [event.job for event in only(pool.events, RecallOrdered)] == [a_job(2)]
        pool.leave("n2", session)
        pool.stop(a_job(2), "recalled")


def test_a_staged_attempt_is_recalled_when_its_own_clusters_limit_keeps_a_slot_empty() -> None:
    pool = Pool(with_east(2))
    pool.publish()
    pool.join("n1")
    pool.tell(submission(1))
    pool.start(a_job(1))
    pool.tell(submission(2), submission(3))
    assert picked(pool) == [a_job(2)], "the last place is for a slot that becomes free"
    pool.join("n2", slots=2)
    assert picked(pool) == [a_job(3)]
    assert [event.job for event in only(pool.events, RecallOrdered)] == [a_job(2)], "it fills the limit behind job 1"
    pool.stop(a_job(2), "recalled")
    assert [event.node for event in only(pool.events, JobDispatched)] == ["n2"]


def test_what_is_staged_never_takes_the_last_place_from_a_slot_that_it_does_not_fit() -> None:
    for limit in (1, 2, 3):
        pool = Pool(with_east(limit))
        pool.publish()
        pool.publish("big", CUDA)
        pool.join("n1", slots=4)
        for number in range(8):
            pool.tell(submission(number))
            if number < 4:
                pool.start(a_job(number))
        assert len(pool.state.clusters["east"].staged) == limit - 1
        pool.tell(submission(9, model="big"))
        pool.join("n2", chipset="cuda", gpus=1, memory_mib=40_000)
        assert picked(pool) == [a_job(9)]


def test_of_a_node_on_which_a_slot_is_about_to_start_only_what_waits_behind_that_is_recalled() -> None:
    pool = Pool(roomy())
    pool.publish()
    pool.join("n1", slots=2)
    pool.tell(*(submission(number) for number in range(4)))
    first, _, *behind = picked(pool)
    pool.start(first)
    pool.join("n2", "west", slots=3)
    recalled = [event.job for event in only(pool.events, RecallOrdered)]
    assert recalled == behind, "the second has a slot, though it has not started"
