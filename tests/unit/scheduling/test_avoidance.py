"""A retry goes to a node where its job has not failed, if there is one."""

from __future__ import annotations

import msgspec

from contract.events import (
    RecallOrdered,
)
from contract.inputs import (
    ClusterDrainRequested,
    NodeHeartbeat,
)
from tests.unit.scheduling.dispatched import picked, roomy, with_east
from tests.unit.scheduling.failing_nodes import PAIR, beats, fail_on, pool_of, queue, where
from tests.unit.scheduling.specification import Pool, a_job, submission


def test_a_retry_waits_for_another_node_and_the_next_job_takes_the_free_one() -> None:
    pool = pool_of("n1", "n2")
    queue(pool, 1, 2)
    fail_on(pool, 1, "n1")
    pool.start(a_job(2), "n2")
    beats(pool)
    assert where(pool, 1) == "", "n1 is free, and the job failed there"
    queue(pool, 3)
    assert where(pool, 3) == "n1"
    pool.succeed(a_job(2), "n2")
    assert where(pool, 1) == "n2"


def test_it_goes_back_where_no_other_node_could_run_it() -> None:
    pool = pool_of("n1", "n2")
    pool.join("n3", chipset="cuda")
    queue(pool, 1, 2)
    fail_on(pool, 1, "n1")
    pool.start(a_job(2), "n2")
    pool.tell(NodeHeartbeat("n2", "s1", running=(pool.dispatch(a_job(2)),), draining=True), after_ms=5_000)
    assert picked(pool) == [a_job(1)]


def test_a_node_that_holds_off_for_now_is_worth_waiting_for() -> None:
    pool = pool_of("n1", "n2")
    pool.tell(submission(1))
    fail_on(pool, 1, "n1")
    pool.tell(NodeHeartbeat("n2", "s1", holding="disk"), NodeHeartbeat("n1", "s1"), after_ms=5_000)
    assert picked(pool) == []
    pool.tell(NodeHeartbeat("n2", "s1", usable=0))
    assert picked(pool) == [a_job(1)], "a node without a usable slot is not"


def test_a_draining_cluster_could_run_nothing() -> None:
    pool = Pool(roomy())
    pool.publish()
    pool.join("n1")
    pool.join("n2", "west")
    queue(pool, 1)
    fail_on(pool, 1, "n1")
    pool.tell(ClusterDrainRequested("west", 0))
    beats(pool)
    assert where(pool, 1) == "n1"


def test_a_job_remembers_four_nodes_and_no_staged_attempt_is_passed_about() -> None:
    nodes = ("n1", "n2", "n3", "n4", "n5", "n6")
    pool = Pool(msgspec.structs.replace(with_east(100, 1), failures_max=9))
    pool.publish()
    for node in nodes:
        pool.join(node)
    pool.tell(submission(1))
    for node in nodes[:5]:
        fail_on(pool, 1, node)
        for _ in range(30):
            if not where(pool, 1):
                beats(pool)
    assert [avoided.node for avoided in pool.job(a_job(1)).avoid] == ["n2", "n3", "n4", "n5"]
    assert where(pool, 1) == "n1", "forgotten by now"


def test_a_job_staged_elsewhere_is_not_called_to_a_node_that_it_avoids() -> None:
    pool = pool_of("n1", "n2", staged_per_slot=2)
    queue(pool, 1, 2)
    fail_on(pool, 1, "n1")
    pool.start(a_job(2), "n2")
    beats(pool)
    assert where(pool, 1) == "n2", "behind job 2"
    for _ in range(3):
        beats(pool)
    assert not any(isinstance(event, RecallOrdered) for batch in pool.batches for event in batch.events)


def test_a_gang_goes_where_none_of_its_nodes_failed_it() -> None:
    pool = Pool(roomy())
    pool.publish("pair", PAIR)
    pool.join("n1", slots=2)
    pool.join("n2", "west", slots=2)
    pool.tell(submission(1, model="pair"))
    fail_on(pool, 1, "n1")
    beats(pool)
    assert pool.attempt(a_job(1)).node == "n2"


def test_slots_are_kept_for_a_gang_where_it_never_failed() -> None:
    pool = Pool(roomy())
    pool.publish("pair", PAIR)
    pool.publish()
    pool.join("n1", slots=2)
    pool.join("n2", "west", slots=2)
    pool.tell(submission(1, model="pair"))
    pool.start(a_job(1))
    pool.tell(submission(2))
    pool.start(a_job(2), "n2")
    pool.fail(a_job(1))
    beats(pool)
    assert pool.state.reserved["west"].job == a_job(1)
    pool.succeed(a_job(2), "n2")
    assert pool.attempt(a_job(1)).node == "n2"
