"""Two machines with one name: the second is told, and stays out while the first one's lease lasts (case C6)."""

from __future__ import annotations

import pytest

from contract.events import AttemptClosed, NodeAdmitted, NodeLost, NodeRefused, ReportStale
from contract.inputs import NodeHeartbeat, NodeJoined, NodeLeft, NodeReport, Stopped, Succeeded
from contract.orders import Kill, Refuse, Rejoin
from contract.signers import node_signer
from scheduling.attempts import orders
from tests.unit.scheduling.specification import MANIFEST, Pool, a_job, a_join, only, submission

JOB = a_job(1)
MINE, NAMESAKES = "1" * 32, "2" * 32


def running() -> Pool:
    pool = Pool()
    pool.publish()
    pool.join("n1", identity=MINE)
    pool.tell(submission(1))
    pool.start(JOB)
    return pool


def test_a_namesake_is_refused_and_told_and_nothing_of_the_first_node_changes() -> None:
    pool = running()
    assert pool.join("n1", "west", session="namesake", identity=NAMESAKES) == [
        NodeRefused("n1", "namesake", "name_taken")
    ]
    refuse = Refuse("n1", "namesake", "main", 1, "name_taken")
    assert pool.orders() == [refuse]
    assert orders.clusters_for(pool.state, refuse) == ("east", "west"), "nobody knows where the namesake listens"
    assert pool.state.nodes["n1"].session == "s1"
    assert pool.job(JOB).open is not None
    assert pool.succeed(JOB)


def test_a_heartbeat_of_a_namesake_is_answered_wherever_it_listens() -> None:
    pool = running()
    pool.tell(NodeHeartbeat("n1", "namesake"))
    assert pool.orders() == [Rejoin("n1", "namesake", "main", 1)]
    assert orders.clusters_for(pool.state, pool.orders()[0]) == ("east", "west")


def test_a_session_of_old_is_told_to_rejoin_wherever_it_listens() -> None:
    """Else a node that was cut off while a namesake in another cluster came and went would never hear."""
    pool = running()
    pool.tick(30_000)
    pool.join("n1", "west", session="namesake", identity=NAMESAKES)
    pool.tick(30_000)
    pool.tell(NodeHeartbeat("n1", "s1"))
    assert pool.orders() == [Rejoin("n1", "s1", "main", 1)]
    assert orders.clusters_for(pool.state, pool.orders()[0]) == ("east", "west")


def test_the_name_is_free_once_the_lease_has_lapsed() -> None:
    pool = running()
    assert only(pool.tick(30_000), NodeLost)
    assert only(pool.join("n1", session="namesake", identity=NAMESAKES), NodeAdmitted)


@pytest.mark.parametrize(("first", "second"), [(MINE, MINE), ("", NAMESAKES), (MINE, "")])
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


# Two clusters may each have a node n1. The door sees to it that a node says only its own name (contract.signers); a
# heartbeat names no cluster, and sessions can be read in `jobs`.

OWN, NAMESAKE = node_signer("east", "n1"), node_signer("west", "n1")


def signed() -> Pool:
    pool = running()
    pool.signer = NAMESAKE
    return pool


def test_a_heartbeat_of_another_clusters_node_keeps_no_lease_and_changes_nothing() -> None:
    pool = signed()
    lie = NodeHeartbeat("n1", "s1", draining=True, usable=0, holding="disk")
    assert pool.tell(lie, after_ms=20_000) == [ReportStale("NodeHeartbeat")]
    assert only(pool.tell(lie, after_ms=10_000), NodeLost) != []


def test_reports_of_another_clusters_node_end_no_attempt_and_it_cannot_leave_for_another() -> None:
    pool = signed()
    dispatch = pool.dispatch(JOB)
    lies = (Succeeded(JOB, dispatch, MANIFEST), Stopped(JOB, dispatch, "drained"))
    events = pool.tell(NodeReport("n1", "s1", lies), NodeLeft("n1", "s1"))
    assert events == [ReportStale("Succeeded"), ReportStale("Stopped"), ReportStale("NodeLeft")]
    pool.signer = OWN
    assert pool.succeed(JOB)


@pytest.mark.parametrize("identity", ["", MINE, NAMESAKES])
def test_a_node_of_another_cluster_does_not_take_a_name_whose_lease_lasts(identity: str) -> None:
    pool = signed()
    join: NodeJoined = a_join("n1", "west", session="s2", identity=identity)
    assert pool.tell(join) == [NodeRefused("n1", "s2", "name_taken")]
    assert pool.job(JOB).open is not None


def test_what_another_clusters_node_says_hides_no_heartbeat_and_is_answered_by_no_order_to_the_node() -> None:
    pool = running()
    stray = NodeHeartbeat("n1", "s1", running=("1.9.9",))
    strange = NodeHeartbeat("n1", "s9")
    for lie in (NodeHeartbeat("n1", "s1"), strange, NodeLeft("n1", "s1"), NodeLeft("n1", "s9")):
        pool.signer = OWN
        mine = [pool._input(stray)]
        pool.signer = NAMESAKE
        mine.append(pool._input(lie))
        found = orders.orders_for(pool.state, mine, [])
        assert Kill("n1", "s1", "main", 1, "", "1.9.9") in found, "the node's own heartbeat is answered"
        rejoins = [order for order in found if isinstance(order, Rejoin)]
        assert rejoins == ([Rejoin("n1", "s9", "main", 1)] if lie is strange else [])
    lone = [pool._input(stray)]
    assert orders.orders_for(pool.state, lone, []) == []


def test_a_node_in_another_pools_cluster_is_told_where_it_listens() -> None:
    pool = Pool()
    assert pool.join("n1", "far", identity=MINE) == [NodeRefused("n1", "s1", "unknown_cluster")]
    (refuse,) = pool.orders()
    assert orders.clusters_for(pool.state, refuse) == ("east", "far", "west")
