"""Attempts of several ranks: all of them or none, on one node or on several of a cluster."""

from __future__ import annotations

from contract.events import (
    AttemptClosed,
    AttemptFailed,
    JobCancelled,
    JobDispatched,
    JobRequeued,
    JobSucceeded,
    Member,
    NodeAdmitted,
    NodeRefused,
    ReportStale,
)
from contract.inputs import ClusterDrainRequested, Failed, NodeReport, Requirements, Started, Stopped
from contract.orders import Kill, Recall, Run
from scheduling.attempts import orders
from scheduling.state.gang_members import rendezvous
from scheduling.state.nodes import Attempt, NodeLoad
from tests.unit.scheduling.specification import Pool, a_job, names, only, submission

JOB = a_job(1)
GANG = Requirements(chipsets=("cpu",), gpus=0, ranks=3)


def pool_with(*nodes: tuple[str, int], cluster: str = "east") -> Pool:
    """Nodes with these numbers of slots, each reachable at a port of its own, and a model of three ranks."""
    pool = Pool()
    pool.publish("gang", GANG)
    pool.publish()
    for name, slots in nodes:
        pool.join(name, cluster, slots, address=f"{name}.lan:29500")
    return pool


def running() -> Pool:
    """A gang that runs rank 0 and 1 on n1 and rank 2 on n2; n2 has a slot left."""
    pool = pool_with(("n1", 2), ("n2", 2))
    pool.tell(submission(1, model="gang"))
    pool.start(JOB)
    return pool


def places(pool: Pool, job: str = JOB) -> list[str]:
    attempt = pool.job(job).open
    return [attempt.node, *(member.node for member in attempt.members)] if attempt is not None else []


def test_all_ranks_go_to_one_node_that_has_the_room_and_need_no_address() -> None:
    pool = Pool()
    pool.publish("gang", GANG)
    for name, slots in (("n1", 2), ("n2", 4), ("n3", 3)):
        pool.join(name, slots=slots)
    pool.tell(submission(1, model="gang"))
    assert places(pool) == ["n3"] * 3, "it leaves the fewest slots over"
    (run,) = pool.orders()
    assert isinstance(run, Run)
    assert (run.ranks, run.world, run.rendezvous) == ((0, 1, 2), 3, "")


def test_ranks_on_several_nodes_get_one_order_a_node_and_the_address_of_rank_0() -> None:
    pool = pool_with(("n1", 2), ("n2", 2))
    pool.tell(submission(1, model="gang"))
    (dispatched,) = only(pool.events, JobDispatched)
    assert dispatched.node == "n1"
    assert dispatched.members == (Member("n1", "s1"), Member("n2", "s1"))
    host, _, port = dispatched.rendezvous.rpartition(":")
    assert host == "n1.lan"
    assert 29_500 <= int(port) < 30_500
    runs = [order for order in pool.orders() if isinstance(order, Run)]
    assert [(run.node, run.ranks, run.world) for run in runs] == [("n1", (0, 1), 3), ("n2", (2,), 3)]
    assert {run.rendezvous for run in runs} == {dispatched.rendezvous}
    assert len({run.dispatch for run in runs}) == 1


def test_rank_0_runs_on_a_node_that_others_can_reach() -> None:
    pool = Pool()
    pool.publish("gang", GANG)
    pool.join("n1", slots=2)
    pool.join("n2", slots=1)
    pool.tell(submission(1, model="gang"))
    assert places(pool) == [], "no node has an address"
    pool.join("n3", slots=1, address="n3:29500")
    assert places(pool) == ["n3", "n1", "n1"]


def test_an_address_is_host_and_port_with_room_for_a_thousand_ports() -> None:
    pool = Pool()
    for number, address in enumerate(("n1", ":29500", "n1:", "n1:0", "n1:64537", "n1:x")):
        assert only(pool.join(f"bad{number}", address=address), NodeRefused)[0].reason == "bad_address"
    for number, address in enumerate(("n1:64536", "10.0.0.1:1", "[fd00::1]:29500")):
        assert only(pool.join(f"good{number}", address=address), NodeAdmitted)[0].address == address


def test_open_gangs_have_ports_of_their_own_and_ports_are_used_in_turn() -> None:
    node = running().state.nodes["n1"]
    held = NodeLoad()
    at = [rendezvous(node, held, place) for place in (0, 1, 999, 1_000)]
    assert at == ["n1.lan:29500", "n1.lan:29501", "n1.lan:30499", "n1.lan:29500"]
    for job, taken in (("a", at[0]), ("b", at[1])):
        held[job] = Attempt(job, 1, "1.1.1", "n1", "s1", "east", 0, rendezvous=taken)
    assert rendezvous(node, held, 0) == "n1.lan:29502"


def test_a_gang_takes_a_slot_for_each_rank_and_one_place_in_the_limit() -> None:
    pool = pool_with(("n1", 2), ("n2", 2))
    pool.tell(submission(1, model="gang"))
    pool.tell(*(submission(number) for number in range(2, 9)))
    held = {name: attempts.ranks() for name, attempts in pool.state.node_attempts.items()}
    assert held == {"n1": 3, "n2": 2}, "three ranks, one that runs beside them, and one staged behind"
    assert len(pool.state.clusters["east"].staged) == 3 == pool.state.clusters["east"].behind


def test_a_gang_is_staged_behind_nothing_and_goes_to_one_cluster_only() -> None:
    pool = pool_with(("n1", 2))
    pool.join("w1", "west", 1, address="w1:29500")
    pool.tell(submission(1, model="gang"))
    assert places(pool) == []
    pool.join("n2", slots=1)
    assert places(pool) == ["n1", "n1", "n2"]
    pool.start(JOB)
    pool.tell(submission(2, model="gang"))
    assert places(pool, a_job(2)) == []


def test_groups_of_a_cluster_that_fit_may_mix() -> None:
    pool = pool_with(("n1", 2))
    pool.join("n2", slots=1, memory_mib=8192)
    pool.tell(submission(1, model="gang"))
    assert places(pool) == ["n1", "n1", "n2"]


def test_it_goes_where_it_needs_the_fewest_nodes_then_where_its_version_is() -> None:
    pool = pool_with(("n1", 2), ("n2", 2))
    version = pool.publish("other", GANG)
    pool.join("w1", "west", 4)
    pool.join("w2", "west", 4, cached=(version,))
    pool.tell(submission(1, model="other"))
    assert places(pool) == ["w2"] * 3


def test_only_the_node_of_rank_0_says_that_it_started_or_succeeded() -> None:
    pool = pool_with(("n1", 2), ("n2", 2))
    pool.tell(submission(1, model="gang"))
    assert only(pool.start(JOB, "n2"), ReportStale)[0].kind == "Started"
    pool.start(JOB)
    version = pool.job(JOB).version
    assert pool.state.nodes["n1"].loaded == pool.state.nodes["n2"].loaded == (version,)
    assert only(pool.succeed(JOB, "n2"), ReportStale)[0].kind == "Succeeded"
    dispatch = pool.dispatch(JOB)
    assert only(pool.succeed(JOB), JobSucceeded)
    assert pool.orders() == [Kill("n2", "s1", "main", 1, JOB, dispatch)], "whoever still runs a rank of it is told"
    assert {name: held.ranks() for name, held in pool.state.node_attempts.items()} == {"n1": 0, "n2": 0}


def test_one_rank_that_fails_fails_the_attempt_everywhere_and_the_others_are_killed_at_once() -> None:
    pool = running()
    dispatch = pool.dispatch(JOB)
    (failed,) = only(pool.fail(JOB, node="n2"), AttemptFailed)
    assert failed.node == "n2"
    assert pool.orders() == [Kill("n1", "s1", "main", 1, JOB, dispatch)]
    assert {name: held.ranks() for name, held in pool.state.node_attempts.items()} == {"n1": 0, "n2": 0}
    assert pool.job(JOB).failures == 1


def test_a_kill_of_what_is_over_comes_before_the_next_run_on_the_node() -> None:
    pool = running()
    pool.tell(submission(2, model="gang"))
    pool.fail(JOB, node="n2")
    kinds = [(type(order).__name__, order.node) for order in pool.orders()]
    assert kinds == [("Kill", "n1"), ("Run", "n1"), ("Run", "n2")]


def test_a_member_that_gives_it_back_gives_it_back_everywhere() -> None:
    pool = pool_with(("n1", 2), ("n2", 2))
    pool.tell(submission(1, model="gang"))
    (closed,) = only(pool.stop(JOB, "drained", "n2"), AttemptClosed)
    assert (closed.reason, closed.node, closed.counts) == ("drained", "n2", False)
    assert pool.state.nodes["n2"].draining
    assert not pool.state.nodes["n1"].draining


def test_a_heartbeat_of_one_node_does_not_answer_for_another() -> None:
    pool = running()
    closed: list[AttemptClosed] = []
    for _ in range(3):
        pool.beat("n1", after_ms=5_000)
        closed = only(pool.beat("n2", running=()), AttemptClosed)
    assert [(event.reason, event.node) for event in closed] == [("unclaimed", "n2")]
    pool = running()
    for _ in range(2):
        pool.beat("n2", running=())
        pool.beat("n2")
        assert not only(pool.beat("n2", running=()), AttemptClosed), "not in a row"


def test_an_order_to_run_is_sent_again_to_the_member_that_does_not_list_it_though_it_has_started() -> None:
    pool = running()
    pool.beat("n2", running=(), after_ms=5_000)
    (run,) = pool.orders()
    assert isinstance(run, Run)
    assert (run.node, run.ranks) == ("n2", (2,))
    pool.beat("n2")
    assert pool.orders() == []
    assert [(type(order).__name__, order.node) for order in orders.standing_orders(pool.state)] == [("Run", "n2")]


def test_the_loss_of_any_member_closes_it_everywhere_and_counts_against_the_node_that_was_lost() -> None:
    pool = running()
    for _ in range(2):
        pool.beat("n1", after_ms=10_000)
    (closed,) = only(pool.beat("n1", after_ms=10_000), AttemptClosed)
    assert (closed.reason, closed.node, closed.counts) == ("lost", "n2", True)
    assert [loss.node for loss in pool.job(JOB).losses] == ["n2"]
    assert Kill("n1", "s1", "main", 1, JOB, closed.dispatch) in pool.orders()
    assert pool.state.node_attempts["n1"].ranks() == 0


def test_a_member_that_leaves_or_joins_anew_closes_it_everywhere() -> None:
    pool = running()
    (closed,) = only(pool.leave("n2"), AttemptClosed)
    assert (closed.reason, closed.node, closed.counts) == ("drained", "n2", False)
    pool = running()
    (closed,) = only(pool.join("n2", slots=2, session="s2"), AttemptClosed)
    assert (closed.reason, closed.node, closed.counts) == ("rejoined", "n2", True)


def test_a_cancelled_gang_keeps_its_slots_until_the_node_of_rank_0_says_that_it_stopped() -> None:
    pool = running()
    pool.cancel(JOB)
    dispatch = pool.dispatch(JOB)
    assert pool.orders() == [Kill(node, "s1", "main", 1, JOB, dispatch) for node in ("n1", "n2")]
    assert names(pool.stop(JOB, "killed", "n2")) == ["ReportStale"]
    assert names(pool.fail(JOB, node="n2")) == ["ReportStale"]
    assert pool.state.node_attempts["n2"].ranks() == 1
    assert only(pool.stop(JOB, "killed"), JobCancelled)
    assert pool.state.node_attempts["n2"].ranks() == 0


def test_a_staged_gang_is_recalled_from_all_its_nodes() -> None:
    pool = pool_with(("n1", 2), ("n2", 2))
    pool.tell(submission(1, model="gang"))
    pool.cancel(JOB)
    dispatch = pool.dispatch(JOB)
    assert pool.orders() == [Recall(node, "s1", "main", 1, JOB, dispatch) for node in ("n1", "n2")]
    assert only(pool.stop(JOB, "recalled", "n2"), JobCancelled)
    assert pool.orders() == [Kill("n1", "s1", "main", 1, JOB, dispatch)], "rank 0 may just have started"


def test_a_rank_that_dies_of_the_pre_emption_of_another_is_no_failure() -> None:
    pool = running()
    pool.tell(ClusterDrainRequested("east", pool.now_ms + 1_000))
    pool.tick(1_000)
    assert [(type(order).__name__, order.node) for order in pool.orders()] == [("Kill", "n1"), ("Kill", "n2")]
    events = pool.report(Failed(JOB, pool.dispatch(JOB), "child_died"))
    assert only(events, AttemptClosed)[0].reason == "pre_empted"
    assert only(events, JobRequeued)
    assert pool.job(JOB).failures == 0


def test_two_members_that_speak_in_one_batch_close_it_once() -> None:
    pool = running()
    dispatch = pool.dispatch(JOB)
    events = pool.tell(
        NodeReport("n2", "s1", (Failed(JOB, dispatch, "child_died"),)),
        NodeReport("n1", "s1", (Stopped(JOB, dispatch, "killed"), Started(JOB, dispatch))),
    )
    assert len(only(events, AttemptFailed)) == 1
    assert [event.kind for event in only(events, ReportStale)] == ["Stopped", "Started"]
