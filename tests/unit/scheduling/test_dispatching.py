"""Who goes next, where to, how many at once, and what the dispatch says of it."""

from __future__ import annotations

import pytest

from contract.batch import BATCH_BYTES_MAX, EVENT_BYTES_MAX
from contract.bounds import HELD_MAX
from contract.codec import encode
from contract.events import JobDispatched
from contract.inputs import NodeHeartbeat, NodeJoined, Requirements
from contract.policy import UNLIMITED
from scheduling.state.capacity import RUN, fits
from scheduling.state.nodes import ClusterState, Group
from tests.unit.scheduling.dispatched import picked, roomy, with_east
from tests.unit.scheduling.specification import CUDA, Pool, a_job, a_join, names, only, submission, version_of


def test_the_largest_wait_fraction_goes_first_and_oldest_first_within_a_tier() -> None:
    pool = Pool(roomy(fast=1_000, slow=100_000))
    pool.publish()
    pool.tell(submission(1, "slow"))
    pool.tell(submission(2, "slow"), after_ms=1)
    pool.tell(submission(3, "fast"), after_ms=9_000)
    pool.tell(submission(4, "fast"), after_ms=50)
    pool.tick(50)
    pool.join("n1", slots=4)
    # fractions: 1 and 2 at 0.091, 3 at 0.1, 4 at 0.05
    assert picked(pool) == [a_job(3), a_job(1), a_job(2), a_job(4)]


def test_a_wait_beyond_the_slo_goes_on_counting() -> None:
    """Capped at 1, the two would tie and the id would decide, either way round."""
    for first, second in ((1, 2), (2, 1)):
        pool = Pool(roomy(fast=1_000, slow=10_000))
        pool.publish()
        pool.tell(submission(first, "slow"))
        pool.tell(submission(second, "fast"), after_ms=25_000)
        pool.tick(2_900)
        pool.join("n1", slots=2)
        # 27.9 s of 10 s against 2.9 s of 1 s
        assert picked(pool) == [a_job(second), a_job(first)]


def test_fractions_that_floats_cannot_tell_apart_are_told_apart() -> None:
    """Waits of 10^16 and 10^16 + 1 ms are the same float: the id would decide."""
    for first, second in ((1, 2), (2, 1)):
        pool = Pool(roomy(day=86_400_000, week=86_400_000))
        pool.publish()
        pool.now_ms = 0
        pool.tell(submission(first, "day"), lease_ms=0)
        pool.tell(submission(second, "week"), after_ms=1, lease_ms=0)
        pool.tick(10**16, lease_ms=0)
        pool.join("n1", slots=2)
        assert picked(pool) == [a_job(first), a_job(second)]


def test_equal_fractions_end_in_the_job_id() -> None:
    pool = Pool(roomy(a=1_000, b=1_000))
    pool.publish()
    pool.tell(submission(1, "a"), submission(2, "b"), submission(3, "a"))
    pool.tick(100)
    pool.join("n1", slots=3)
    assert picked(pool) == sorted([a_job(1), a_job(2), a_job(3)])


def test_a_head_that_fits_nowhere_blocks_nobody() -> None:
    pool = Pool()
    pool.publish("big", CUDA)
    pool.publish("small")
    pool.tell(submission(1, "api", "big"))
    pool.tell(submission(2, "free", "small"), after_ms=60_000)
    pool.join("n1")
    assert picked(pool) == [a_job(2)]


def test_a_slot_must_have_the_chipset_the_gpus_and_the_memory() -> None:
    pool = Pool()
    pool.publish("m", Requirements(("cuda", "rocm"), 2, 1_000))
    pool.tell(submission(1, model="m"))
    pool.join("n1", chipset="cpu", gpus=2, memory_mib=1_000)
    pool.join("n2", chipset="cuda", gpus=1, memory_mib=1_000)
    pool.join("n3", chipset="rocm", gpus=2, memory_mib=999)
    assert picked(pool) == []
    pool.join("n4", chipset="rocm", gpus=2, memory_mib=1_000)
    assert only(pool.events, JobDispatched)[0].node == "n4"


def test_a_node_takes_one_more_than_it_can_run_for_each_slot() -> None:
    pool = Pool(roomy())
    pool.publish()
    pool.tell(*(submission(number) for number in range(9)))
    pool.join("n1", slots=2)
    assert len(picked(pool)) == 4
    first, second = picked(pool)[:2]
    pool.start(first)
    assert picked(pool) == []
    pool.stop(second, "recalled")
    assert len(picked(pool)) == 1


def test_no_more_are_dispatched_than_the_limit_allows_until_some_start() -> None:
    pool = Pool(roomy(limit=3))
    pool.publish()
    pool.tell(*(submission(number) for number in range(9)))
    pool.join("n1", slots=8)
    assert [event.staged for event in only(pool.events, JobDispatched)] == [1, 2, 3]
    assert {event.limit for event in only(pool.events, JobDispatched)} == {3}
    sent = picked(pool)
    pool.tick(1_000)
    assert picked(pool) == []
    pool.start(sent[0])
    assert len(picked(pool)) == 1


def test_a_node_stages_as_many_a_slot_as_the_policy_says_spread_over_the_nodes() -> None:
    pool = Pool(with_east(100, staged_per_slot=3))
    pool.publish()
    pool.join("n1")
    pool.join("n2")
    pool.tell(*(submission(number) for number in range(12)))
    nodes = [event.node for event in only(pool.events, JobDispatched)]
    assert nodes == ["n1", "n2"] * 4, "a free slot first, then the node with the fewest staged"
    pool.adopt(with_east(100, staged_per_slot=1))
    pool.start(picked_of(pool)[0])
    pool.succeed(picked_of(pool)[0])
    assert picked(pool) == [], "n1 still holds more than one staged"


def picked_of(pool: Pool) -> list[str]:
    return sorted(pool.state.node_attempts["n1"], key=lambda job: pool.dispatch(job))


def test_a_limit_of_none_pushes_everything_to_the_nodes() -> None:
    pool = Pool(with_east(UNLIMITED))
    pool.publish()
    pool.join("n1")
    pool.join("n2", slots=2)
    pool.tell(*(submission(number) for number in range(30)))
    assert held_by(pool) == {"n1": 10, "n2": 20}, "the same for each slot"


def test_no_node_is_sent_more_than_it_says_it_holds() -> None:
    """A node of v0.1.0 says nothing: it holds 4 for each slot and 16 more (review 5.7)."""
    pool = Pool(with_east(UNLIMITED))
    pool.publish()
    for node, slots, holds in (("n1", 1, 0), ("n2", 2, 0), ("n3", 1, 5), ("n4", 64, 10_000), ("n5", 2, 1)):
        pool.join(node, slots=slots, holds=holds)
    assert picked(pool) == []
    pool.tell(*(submission(number) for number in range(400)))
    assert held_by(pool) == {"n1": 20, "n2": 24, "n3": 5, "n4": HELD_MAX, "n5": 2}
    assert len(pool.state.jobs) == 400, "the rest waits its turn"
    pool.join("n3", session="s2", holds=6)
    assert held_by(pool)["n3"] == 6


def held_by(pool: Pool) -> dict[str, int]:
    return {node: len(attempts) for node, attempts in sorted(pool.state.node_attempts.items())}


def test_a_lapsed_lease_gives_its_places_back_to_the_limit() -> None:
    pool = Pool(roomy(limit=2))
    pool.publish()
    pool.tell(*(submission(number) for number in range(4)))
    pool.join("n1", slots=4)
    assert len(picked(pool)) == 2
    for _ in range(3):
        pool.tick(10_000)
    assert "NodeLost" in names(pool.events)
    pool.join("n2", slots=4)
    assert len(picked(pool)) == 2


def test_a_recall_gives_its_place_back_only_when_it_is_confirmed() -> None:
    pool = Pool(roomy(limit=1))
    pool.publish()
    pool.tell(submission(1), submission(2))
    pool.join("n1", slots=4)
    (sent,) = picked(pool)
    pool.cancel(sent)
    assert names(pool.events) == ["JobCancelling", "RecallOrdered"], "the place is still taken"
    pool.stop(sent, "recalled")
    assert len(picked(pool)) == 1


def test_a_lower_limit_closes_nothing_and_dispatches_nothing() -> None:
    pool = Pool(roomy(limit=3))
    pool.publish()
    pool.tell(*(submission(number) for number in range(9)))
    pool.join("n1", slots=8)
    sent = picked(pool)
    pool.adopt(roomy(limit=1))
    assert names(pool.events) == ["PolicyAdopted"]
    pool.start(sent[0])
    pool.start(sent[1])
    assert picked(pool) == []
    pool.start(sent[2])
    assert len(picked(pool)) == 1


def test_a_free_slot_before_staging_then_loaded_then_cached_then_cold() -> None:
    pool = Pool(roomy())
    version = pool.publish()
    pool.join("n1")
    pool.join("n2", cached=(version,))
    pool.join("n3", cached=(version,))
    pool.tell(NodeHeartbeat("n3", "s1", loaded=(version,), cached=(version,)))
    for number in range(6):
        pool.tell(submission(number))
    nodes = [event.node for batch in pool.batches for event in only(batch.events, JobDispatched)]
    assert nodes == ["n3", "n2", "n1", "n3", "n2", "n1"]


def test_then_the_emptiest_cluster_then_the_least_node() -> None:
    pool = Pool(roomy())
    pool.publish()
    pool.join("a1", "west", slots=2)
    pool.join("a2", "west", slots=2)
    pool.join("b1", "east", slots=1)
    pool.tell(*(submission(number) for number in range(5)))
    nodes = [event.node for event in only(pool.events, JobDispatched)]
    # west 0/4 against east 0/1 is a tie: a1; then 1/4 against 0/1: b1; then west alone has a free slot
    assert nodes == ["a1", "b1", "a1", "a2", "a2"]


def test_a_started_version_is_loaded_from_then_on() -> None:
    pool = Pool(roomy())
    version = pool.publish()
    pool.join("n1")
    pool.join("n2")
    pool.tell(submission(1), submission(2))
    pool.start(a_job(1), pool.attempt(a_job(1)).node)
    node = pool.attempt(a_job(1)).node
    pool.succeed(a_job(1), node)
    assert pool.state.nodes[node].loaded == (version,)
    pool.tell(submission(3))
    assert only(pool.events, JobDispatched)[0].node == node


def test_a_node_that_loads_another_version_forgets_the_first_when_it_has_one_slot() -> None:
    pool = Pool(roomy())
    pool.publish("one", version="v1")
    second = pool.publish("two", version="v1")
    pool.join("n1")
    for number, model in ((1, "one"), (2, "two")):
        pool.tell(submission(number, model=model))
        pool.start(a_job(number))
        pool.succeed(a_job(number))
    node = pool.state.nodes["n1"]
    assert node.loaded == (second,)
    assert node.cached == tuple(sorted((version_of("one/v1"), second)))


def test_the_evidence_names_the_best_job_that_could_have_gone_instead() -> None:
    pool = Pool(roomy(fast=1_000, slow=100_000))
    pool.publish("big", CUDA)
    pool.publish("small")
    pool.tell(submission(0, "fast", "big"))
    pool.tell(submission(1, "fast", "small"), after_ms=10)
    pool.tell(submission(2, "fast", "small"), after_ms=10)
    pool.tell(submission(3, "slow", "small"), after_ms=10)
    pool.tick(70)
    pool.join("n1", slots=3)
    first, second, third = only(pool.events, JobDispatched)
    assert (first.job, first.waited_ms, first.slo_ms) == (a_job(1), 90, 1_000)
    assert (first.next_job, first.next_waited_ms, first.next_slo_ms) == (a_job(2), 80, 1_000)
    assert (second.next_job, second.next_waited_ms, second.next_slo_ms) == (a_job(3), 70, 100_000)
    assert (third.next_job, third.next_waited_ms, third.next_slo_ms) == ("", 0, 0), "big does not fit here"


def test_the_evidence_names_what_held_the_job() -> None:
    pool = Pool(roomy(limit=1))
    pool.publish()
    pool.tell(submission(0))
    pool.join("n1", slots=3)
    assert only(pool.events, JobDispatched)[0].bound == "slots"
    pool.tell(submission(1))
    pool.start(a_job(0))
    assert only(pool.events, JobDispatched)[0].bound == "limit"
    pool.start(a_job(1))
    pool.tell(submission(2))
    assert only(pool.events, JobDispatched)[0].bound == "nothing"
    pool.fail(a_job(1))
    pool.stop(a_job(2), "recalled")
    pool.beat(after_ms=2_000)
    assert [(event.job, event.bound) for event in only(pool.events, JobDispatched)] == [(a_job(2), "backoff")]


def test_dispatches_are_named_by_their_place_in_the_record() -> None:
    pool = Pool(roomy())
    pool.publish()
    pool.join("n1", slots=2)
    events = pool.tell(submission(1), submission(2))
    seq = pool.state.seq
    assert [event.dispatch for event in only(events, JobDispatched)] == [f"1.{seq}.2", f"1.{seq}.3"]


def test_a_batch_is_cut_at_its_bound_and_goes_on_in_the_next() -> None:
    pool = Pool(roomy(limit=5_000), check=False)
    pool.publish()
    for number in range(0, 2_500, 500):
        pool.tell(*(submission(n) for n in range(number, number + 500)))
    before = len(pool.batches)
    pool.tell(*(a_join(f"n{number}", slots=64) for number in range(40)))
    batches = pool.batches[before:]
    sizes = [sum(len(encode(event)) + 1 for event in batch.events) for batch in batches]
    assert sum(isinstance(e, JobDispatched) for batch in batches for e in batch.events) == 2_500
    assert all(EVENT_BYTES_MAX <= size < EVENT_BYTES_MAX + 1_000 for size in sizes[:-1]), sizes


def test_a_batch_that_is_full_takes_no_further_input() -> None:
    """One fetch brings the restarts of nodes that hold all they may. Each restart closes its node's attempts in a
    record that the ledger's topic takes, and the next input waits for the next record."""
    pool = Pool(with_east(UNLIMITED), check=False)
    pool.publish()
    nodes = [f"n{number}" for number in range(20)]
    pool.tell(*(a_join(node, slots=64, holds=HELD_MAX) for node in nodes))
    for first in range(0, 20 * HELD_MAX, 500):
        pool.tell(*(submission(number) for number in range(first, first + 500)))
    assert sum(held_by(pool).values()) == 20 * HELD_MAX
    before = len(pool.batches)
    pool.tell(*(a_join(node, session="again", slots=64, holds=HELD_MAX) for node in nodes))
    batches, records = pool.batches[before:], pool.records[before:]
    joins = [i.body for batch in batches for i in batch.inputs]
    assert [body.node for body in joins if isinstance(body, NodeJoined)] == nodes, "each once, in order"
    assert len(joins) == len(nodes)
    assert max(len(batch.inputs) for batch in batches) < len(nodes)
    assert max(map(len, records)) <= BATCH_BYTES_MAX
    assert [batch.position for batch in batches if batch.inputs] == [
        batch.inputs[-1].offset + 1 for batch in batches if batch.inputs
    ]


def test_a_draining_node_gets_nothing() -> None:
    pool = Pool()
    pool.publish()
    pool.join("n1")
    pool.beat(draining=True)
    pool.tell(submission(1))
    assert picked(pool) == []


def test_a_node_of_another_pools_cluster_may_not_join() -> None:
    pool = Pool()
    assert names(pool.join("n1", "far")) == ["NodeRefused"]
    assert names(pool.join("n1", "nowhere")) == ["NodeRefused"]
    assert names(pool.join("n1", slots=0)) == ["NodeRefused"]


@pytest.mark.parametrize(
    ("chipset", "gpus", "fitting"), [("cpu", 0, True), ("cuda", 1, True), ("cuda", 0, False), ("rocm", 1, False)]
)
def test_gpus_are_asked_for_where_there_are_any(chipset: str, gpus: int, fitting: bool) -> None:
    needs = Requirements(("cpu", "cuda"), gpus=1, memory_mib=100)
    assert fits(needs, Group(ClusterState("c"), RUN, chipset, gpus, 100)) is fitting


def test_a_gang_is_never_started_on_one_slot_and_blocks_nobody() -> None:
    pool = Pool(roomy())
    pool.publish("gang", Requirements(("cpu",), 0, ranks=2))
    pool.publish("small")
    pool.tell(submission(1, "api", "gang"))
    pool.tell(submission(2, "free", "small"))
    pool.join("n1", slots=1)
    assert picked(pool) == [a_job(2)]
    pool.cancel(a_job(1))
    assert names(pool.events) == ["JobCancelled"]
