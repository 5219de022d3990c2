"""Slots kept for a gang that goes next and does not fit yet, and what may use them meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from contract.events import GangReleased, GangReserved, JobDispatched
from contract.inputs import ClusterDrainRequested, Requirements
from contract.policy import Cluster
from scheduling import snapshot
from tests.unit.scheduling.specification import CPU, POLICY, POOL, Pool, a_job, names, only, submission

PAIR = Requirements(chipsets=("cpu",), gpus=0, ranks=2)
GANG = a_job(1)
FIFO = msgspec.structs.replace(POLICY, discipline="fifo")
RUN_MS = 10_000
FETCH_MS = 3_000


def pool_with(*slots: int, limit: int = 9) -> Pool:
    """A pool with nodes n1, n2… of these numbers of slots, small jobs that are known to run for 10 s and whose inputs
    are worth fetching before, and a model of two ranks."""
    pool = Pool(msgspec.structs.replace(FIFO, clusters={**POLICY.clusters, "east": Cluster(POOL, limit)}))
    pool.publish("pair", PAIR)
    pool.publish()
    pool.join("n1", slots=slots[0], address="n1:29500")
    pool.tell(submission(90))
    pool.tick(FETCH_MS)
    pool.start(a_job(90))
    for number, count in enumerate(slots[1:], start=2):
        pool.join(f"n{number}", slots=count, address=f"n{number}:29500")
    pool.tick(RUN_MS)
    pool.succeed(a_job(90))
    return pool


def busy(*slots: int, limit: int = 9) -> Pool:
    """The same pool with small jobs 10, 11… in all slots, each started a second after the job before."""
    pool = pool_with(*slots, limit=limit)
    for number in range(10, 10 + sum(slots)):
        pool.tell(submission(number))
        run(pool, a_job(number))
        pool.tick(1_000)
    return pool


def run(pool: Pool, job: str) -> None:
    pool.start(job, at(pool, job)[0])


def at(pool: Pool, job: str) -> list[str]:
    attempt = pool.job(job).open
    return [attempt.node, *(member.node for member in attempt.members)] if attempt is not None else []


def ends(pool: Pool, number: int) -> list[str]:
    return names(pool.succeed(a_job(number), at(pool, a_job(number))[0]))


def test_the_slots_that_are_expected_to_be_free_first_are_kept() -> None:
    pool = busy(1, 1, 1)
    started_ms = pool.attempt(a_job(11)).started_ms
    (reserved,) = only(pool.tell(submission(1, model="pair")), GangReserved)
    assert (reserved.job, reserved.cluster, reserved.nodes) == (GANG, "east", ("n1", "n2"))
    assert reserved.free_ms == started_ms + RUN_MS
    assert snapshot.decode(snapshot.encode(pool.state)).reserved == pool.state.reserved


def test_what_is_staged_behind_counts_too() -> None:
    pool = busy(1, 1, 1)
    pool.tell(submission(20))
    assert at(pool, a_job(20)) == ["n1"]
    (reserved,) = only(pool.tell(submission(1, model="pair")), GangReserved)
    assert reserved.nodes == ("n2", "n3")


def test_nothing_new_is_put_on_kept_slots_and_the_gang_goes_when_they_are_free() -> None:
    pool = busy(1, 1, 1)
    pool.tell(submission(1, model="pair"))
    ends(pool, 10)
    pool.tick(9_000)
    pool.tell(submission(20), submission(21))
    assert [at(pool, a_job(number)) for number in (20, 21)] == [["n3"], []], "staged only where nothing is kept"
    pool.tell(after_ms=1_000)
    assert at(pool, GANG) == []
    pool.succeed(a_job(11), "n2")
    (dispatched, *_) = only(pool.events, JobDispatched)
    assert (dispatched.job, dispatched.reason) == (GANG, "reserved")
    assert at(pool, GANG) == ["n1", "n2"]
    assert pool.state.reserved == {}


def test_back_fill_is_what_ends_in_time() -> None:
    pool = busy(1, 1)
    pool.tell(submission(1, model="pair"))
    assert pool.state.reserved["east"].free_ms == pool.attempt(a_job(11)).started_ms + RUN_MS
    ends(pool, 10)
    pool.publish("long", CPU)
    pool.tell(submission(20))
    assert at(pool, a_job(20)) == [], "expected to run for 10 s, and the last slot is free in 9"
    pool.state.run_ms[pool.job(a_job(20)).version] = pool.reader.run_ms[pool.job(a_job(20)).version] = 4_000
    pool.tell(submission(21, model="long"))
    assert at(pool, a_job(20)) == ["n1"]
    run(pool, a_job(20))
    ends(pool, 20)
    assert at(pool, a_job(21)) == [], "nobody knows how long it runs"
    pool.tick(6_000)
    pool.tell(submission(22))
    assert at(pool, a_job(22)) == [], "too late for 4 s"


def test_a_kept_slot_that_is_free_is_used_before_anything_is_staged_behind() -> None:
    pool = busy(1, 1, 1)
    pool.tell(submission(1, model="pair"))
    ends(pool, 10)
    version = pool.job(a_job(12)).version
    pool.state.run_ms[version] = pool.reader.run_ms[version] = 2_000
    pool.tell(submission(20))
    assert at(pool, a_job(20)) == ["n1"]


def test_only_as_many_slots_of_a_node_are_kept_as_the_gang_needs() -> None:
    pool = busy(4)
    (reserved,) = only(pool.tell(submission(1, model="pair")), GangReserved)
    assert reserved.nodes == ("n1", "n1")
    pool.tell(submission(20))
    ends(pool, 13)
    assert at(pool, a_job(20)) == []
    ends(pool, 12)
    assert at(pool, GANG) == ["n1", "n1"]
    assert at(pool, a_job(20)) == ["n1"], "nothing is kept any more"


def test_one_reservation_a_cluster_and_a_class() -> None:
    pool = busy(1, 1, 1)
    pool.publish("trio", msgspec.structs.replace(PAIR, ranks=3))
    pool.tell(submission(1, model="pair"), submission(2, model="pair"))
    pool.tell(submission(3, model="trio"))
    assert [kept.job for kept in pool.state.reserved.values()] == [min(GANG, a_job(2))]


def test_a_gang_reserves_when_its_turn_has_come_and_not_before() -> None:
    pool = busy(1, 1, limit=2)
    pool.tell(submission(20), submission(21))
    pool.tell(submission(22), after_ms=1)
    pool.tell(submission(1, model="pair"), after_ms=1)
    assert pool.state.reserved == {}, "the limit is reached: nothing is given away"
    first, second = sorted((20, 21), key=lambda number: at(pool, a_job(number)) == [])
    ends(pool, 10)
    run(pool, a_job(first))
    assert at(pool, a_job(second)) == ["n1"]
    ends(pool, 11)
    assert at(pool, a_job(22)) == ["n2"]
    assert pool.state.reserved == {}, "job 22 was before it"
    run(pool, a_job(22))
    ends(pool, first)
    run(pool, a_job(second))
    assert pool.state.reserved["east"].job == GANG


def test_a_gang_larger_than_any_cluster_waits_and_blocks_nobody() -> None:
    pool = busy(1, 1)
    pool.publish("wide", msgspec.structs.replace(PAIR, ranks=3))
    pool.tell(submission(1, "api", "wide"))
    assert pool.state.reserved == {}
    pool.tell(submission(20))
    assert at(pool, a_job(20)) == ["n1"]


def test_slots_are_anyones_again_when_the_job_ends() -> None:
    pool = busy(1, 1)
    pool.tell(submission(1, model="pair"))
    pool.tell(submission(20))
    pool.cancel(GANG)
    assert only(pool.events, GangReleased) == [GangReleased(GANG, "ended")]
    assert at(pool, a_job(20)) == ["n1"]


def test_slots_are_kept_anew_when_a_node_goes_or_drains() -> None:
    ways: tuple[Callable[[Pool], object], ...] = (
        lambda pool: pool.leave("n1"),
        lambda pool: pool.beat("n1", draining=True),
    )
    for gone in ways:
        pool = busy(1, 1, 1)
        pool.tell(submission(1, model="pair"))
        gone(pool)
        assert only(pool.events, GangReleased) == [GangReleased(GANG, "node_gone")]
        assert pool.state.reserved["east"].members == tuple(
            member for member in pool.state.reserved["east"].members if member.node != "n1"
        )
        assert len(pool.state.reserved["east"].members) == 2


def test_slots_are_kept_no_longer_when_the_cluster_drains_or_leaves_the_policy() -> None:
    pool = busy(1, 1)
    pool.tell(submission(1, model="pair"))
    pool.tell(ClusterDrainRequested("east", 0))
    assert only(pool.events, GangReleased) == [GangReleased(GANG, "draining")]
    assert pool.state.reserved == {}
    pool = busy(1, 1)
    pool.tell(submission(1, model="pair"))
    clusters = {name: cluster for name, cluster in POLICY.clusters.items() if name != "east"}
    pool.adopt(msgspec.structs.replace(FIFO, clusters=clusters))
    assert only(pool.events, GangReleased) == [GangReleased(GANG, "policy")]


def test_it_goes_at_once_where_it_fits_sooner_than_where_slots_are_kept() -> None:
    pool = busy(1, 1)
    pool.tell(submission(1, model="pair"))
    assert pool.state.reserved["east"].job == GANG
    pool.join("w1", "west", 2)
    assert at(pool, GANG) == ["w1", "w1"]
    assert pool.state.reserved == {}
