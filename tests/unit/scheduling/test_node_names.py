"""Two machines with one name: the second is told, and stays out while the first one's lease lasts (case C6)."""

from __future__ import annotations

import pytest

from contract.events import AttemptClosed, NodeAdmitted, NodeLost, NodeRefused
from contract.inputs import NodeHeartbeat
from contract.orders import Refuse, Rejoin
from scheduling.attempts import orders
from tests.unit.scheduling.specification import Pool, a_job, only, submission

JOB = a_job(1)
MINE, TWINS = "1" * 32, "2" * 32


def running() -> Pool:
    pool = Pool()
    pool.publish()
    pool.join("n1", identity=MINE)
    pool.tell(submission(1))
    pool.start(JOB)
    return pool


def test_a_twin_is_refused_and_told_and_nothing_of_the_first_node_changes() -> None:
    pool = running()
    assert pool.join("n1", "west", session="twin", identity=TWINS) == [NodeRefused("n1", "twin", "name_taken")]
    refuse = Refuse("n1", "twin", "main", 1, "name_taken")
    assert pool.orders() == [refuse]
    assert orders.clusters_for(pool.state, refuse) == ("east", "west"), "nobody knows where the twin listens"
    assert pool.state.nodes["n1"].session == "s1"
    assert pool.job(JOB).open is not None
    assert pool.succeed(JOB)


def test_a_heartbeat_of_a_twin_is_answered_wherever_it_listens() -> None:
    pool = running()
    pool.tell(NodeHeartbeat("n1", "twin"))
    assert pool.orders() == [Rejoin("n1", "twin", "main", 1)]
    assert orders.clusters_for(pool.state, pool.orders()[0]) == ("east", "west")


def test_the_name_is_free_once_the_lease_has_lapsed() -> None:
    pool = running()
    assert only(pool.tick(30_000), NodeLost)
    assert only(pool.join("n1", session="twin", identity=TWINS), NodeAdmitted)


@pytest.mark.parametrize(("first", "second"), [(MINE, MINE), ("", TWINS), (MINE, "")])
def test_the_same_machine_anew_replaces_its_old_session(first: str, second: str) -> None:
    pool = Pool()
    pool.publish()
    pool.join("n1", identity=first)
    pool.tell(submission(1))
    events = pool.join("n1", session="s2", identity=second)
    assert only(events, AttemptClosed)[0].reason == "rejoined"
    assert only(events, NodeAdmitted)[0].identity == second


def test_a_node_without_identity_knows_no_refuse() -> None:
    pool = Pool()
    assert only(pool.join("n1", slots=0), NodeRefused)
    assert pool.orders() == []
    pool.join("n1", slots=0, session="s2", identity=MINE)
    assert pool.orders() == [Refuse("n1", "s2", "main", 1, "no_slots")]
