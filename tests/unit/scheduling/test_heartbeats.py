"""What heartbeats say beside the attempts: cached versions by digest, usable slots, and why a node holds off."""

from __future__ import annotations

import pytest

from contract.events import JobDispatched, NodeSlotsChanged, NodeVersionsChanged
from contract.inputs import HOLDING, NodeHeartbeat, Requirements, cached_digest
from contract.orders import Tell
from tests.unit.scheduling.dispatched import picked, roomy
from tests.unit.scheduling.specification import Pool, a_job, only, submission, version_of

A, B = sorted((version_of("a"), version_of("b")))


def joined(slots: int = 1, identity: str = "1" * 32) -> Pool:
    pool = Pool(roomy())
    pool.publish()
    pool.join("n1", slots=slots, cached=(A, B), identity=identity)
    return pool


def beaten(pool: Pool, *cached: str, digest: str) -> list[NodeVersionsChanged]:
    return only(pool.beat(cached=cached, cached_digest=digest), NodeVersionsChanged)


def test_a_digest_that_is_the_states_says_that_nothing_changed() -> None:
    pool = joined()
    assert beaten(pool, digest=cached_digest((B, A))) == []
    assert pool.orders() == []
    assert pool.state.nodes["n1"].cached == (A, B)


def test_a_list_counts_only_with_its_own_digest() -> None:
    pool = joined()
    assert beaten(pool, A, digest=cached_digest((A,))) == [NodeVersionsChanged("n1", "s1", (), (A,))]
    assert beaten(pool, A, B, digest=cached_digest(())) == [], "the list was cut, or is of another moment"
    assert pool.state.nodes["n1"].cached == (A,)
    assert beaten(pool, digest=cached_digest(())) == [NodeVersionsChanged("n1", "s1", (), ())]


def test_another_digest_without_a_list_is_answered_by_tell() -> None:
    pool = joined()
    assert beaten(pool, digest=cached_digest((A,))) == []
    assert pool.orders() == [Tell("n1", "s1", "main", 1)]
    beaten(pool, A, digest=cached_digest((A,)))
    assert pool.orders() == []


def test_an_agent_without_identity_is_not_told_and_lists_everything() -> None:
    pool = joined(identity="")
    assert beaten(pool, A, digest="") == [NodeVersionsChanged("n1", "s1", (), (A,))]
    beaten(pool, digest="sha256:other")
    assert pool.orders() == []


def test_a_slot_that_cannot_be_used_gets_nothing() -> None:
    pool = joined(slots=2)
    assert only(pool.beat(usable=1), NodeSlotsChanged) == [NodeSlotsChanged("n1", "s1", 1)]
    assert only(pool.beat(usable=1), NodeSlotsChanged) == []
    for number in range(1, 5):
        pool.tell(submission(number))
    assert len(pool.state.node_attempts["n1"]) == 2, "one to run, one behind it"
    assert pool.state.clusters["east"].slots == 1
    pool.beat(usable=2)
    assert picked(pool) == [a_job(3), a_job(4)]


def test_a_node_without_a_usable_slot_gives_up_what_another_could_start() -> None:
    pool = joined()
    pool.tell(submission(1))
    pool.beat(usable=0)
    pool.tell(submission(2))
    assert picked(pool) == []
    pool.join("n2", "west", slots=2)
    assert [type(order).__name__ for order in pool.orders()] == ["Run", "Recall"]


@pytest.mark.parametrize("reason", HOLDING)
def test_a_node_that_holds_off_gets_nothing_new_and_keeps_what_it_has(reason: str) -> None:
    pool = joined(slots=2)
    pool.tell(submission(1))
    assert only(pool.beat(holding=reason), NodeSlotsChanged) == [NodeSlotsChanged("n1", "s1", 2, reason)]
    assert only(pool.tell(submission(2)), JobDispatched) == []
    assert pool.job(a_job(1)).open is not None
    pool.beat()
    assert picked(pool) == [a_job(2)]


def test_words_of_a_nodes_own_and_impossible_numbers_are_not_believed() -> None:
    pool = joined(slots=2)
    assert only(pool.beat(holding="because I say so", usable=99), NodeSlotsChanged) == []
    assert only(pool.beat(usable=-7), NodeSlotsChanged) == []


def test_slots_kept_for_a_gang_are_given_back_when_a_slot_is_lost() -> None:
    pool = Pool(roomy())
    pool.publish()
    pool.publish("pair", Requirements(("cpu",), 0, ranks=2))
    pool.join("n1", slots=2)
    pool.tell(submission(1))
    pool.start(a_job(1))
    pool.tell(submission(2, model="pair"))
    assert pool.state.reserved
    pool.tell(NodeHeartbeat("n1", "s1", running=(pool.dispatch(a_job(1)),), usable=1))
    assert not pool.state.reserved
