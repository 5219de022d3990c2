"""The rules of a node for the ranks of a gang: all its slots at once, one end for all, who says what."""

from __future__ import annotations

import pytest

from contract.bounds import HELD_MAX
from contract.inputs import Failed, Started, Stopped, Succeeded
from contract.orders import Rejoin, Run
from gpu_worker.rules.actions import Conclude, FetchSupplies, Forget, Halt, JoinAgain, Launch, LocalPhase, Say, Unstore
from gpu_worker.rules.node_rules import NodeRules
from tests.unit.gpu_worker.rules_orders import JOB, NODE, OTHER, POOL, SESSION, THIRD, kill, recall, run


def gang(dispatch: str = "1.1.0", job: str = JOB, ranks: tuple[int, ...] = (0, 1), world: int = 2) -> Run:
    return run(dispatch, job, ranks=ranks, world=world, rendezvous="" if len(ranks) == world else "host:1")


@pytest.fixture
def rules() -> NodeRules:
    return NodeRules(NODE, SESSION, slots=3)


def running(rules: NodeRules, order: Run) -> Run:
    """Tell the rules that the gang has its slots and its children."""
    rules.take(order)
    rules.fetched(order.dispatch)
    rules.acknowledged(order.dispatch)
    assert rules.is_running(order.dispatch)
    return order


def test_the_ranks_here_launch_together_and_end_in_one_result(rules: NodeRules) -> None:
    order = gang()
    assert rules.take(order) == [FetchSupplies(order)]
    assert rules.fetched(order.dispatch) == [Say(Started(JOB, order.dispatch))]
    assert rules.acknowledged(order.dispatch) == [Launch((0, 1), order)]
    assert rules.rank_over(order.dispatch, failed=False) == []
    assert rules.rank_over(order.dispatch, failed=False) == [Conclude(order)]
    report = Succeeded(JOB, order.dispatch, "sha256:")
    assert rules.ended(order.dispatch, report) == [Forget(order.dispatch), Say(report)]
    assert rules.idle


def test_a_gang_waits_until_all_its_slots_are_free_and_nothing_overtakes_it(rules: NodeRules) -> None:
    for number, job in ((1, OTHER), (2, THIRD)):
        running(rules, run(f"1.{number}.0", job))
    order, late = gang("1.3.0"), run("1.4.0", "main-" + "3" * 32)
    for waiting in (order, late):
        rules.take(waiting)
        assert rules.fetched(waiting.dispatch) == []
    assert rules.computed("1.2.0") == [Say(Started(JOB, "1.3.0"))]
    assert rules.held["1.3.0"].slots == (1, 2)
    assert rules.computed("1.1.0") == [Say(Started(late.job, late.dispatch))]


def test_its_slots_stay_taken_until_its_last_rank_is_over(rules: NodeRules) -> None:
    order = running(rules, gang(ranks=(0, 1, 2), world=3))
    rules.take(run("1.2.0", OTHER))
    rules.fetched("1.2.0")
    assert rules.rank_over(order.dispatch, failed=False) == []
    assert rules.rank_over(order.dispatch, failed=False) == []
    assert rules.rank_over(order.dispatch, failed=False) == [Conclude(order)]
    assert rules.computed(order.dispatch) == [Say(Started(OTHER, "1.2.0"))]


def test_a_rank_that_fails_halts_the_others_and_one_report_goes_out(rules: NodeRules) -> None:
    order = running(rules, gang(ranks=(0, 1, 2), world=3))
    halts = [Halt(slot, order.dispatch) for slot in (0, 1, 2)]
    assert rules.rank_over(order.dispatch, failed=True) == halts
    assert not rules.is_running(order.dispatch)
    assert rules.heartbeat().running == (order.dispatch,)
    assert rules.halted(order.dispatch) == []
    assert rules.halted(order.dispatch) == [Conclude(order)]
    report = Failed(JOB, order.dispatch, "child_died", "Signal9")
    assert rules.ended(order.dispatch, report) == [Forget(order.dispatch), Say(report)]


def test_the_last_rank_to_fail_fails_all(rules: NodeRules) -> None:
    order = running(rules, gang(ranks=(1, 2), world=3))
    assert rules.rank_over(order.dispatch, failed=False) == []
    assert rules.rank_over(order.dispatch, failed=True) == [Conclude(order)]


def test_a_node_without_rank_0_launches_without_a_word(rules: NodeRules) -> None:
    order = gang(ranks=(1,))
    rules.take(order)
    assert rules.fetched(order.dispatch) == [Launch((0,), order)]
    assert rules.heartbeat().running == (order.dispatch,)


def test_a_node_without_rank_0_says_nothing_when_its_ranks_did_well_and_lists_them_until_told(rules: NodeRules) -> None:
    order = running(rules, gang(ranks=(1, 2), world=3))
    rules.take(gang("1.2.0", OTHER))
    rules.fetched("1.2.0")
    assert rules.rank_over(order.dispatch, failed=False) == []
    assert rules.rank_over(order.dispatch, failed=False) == [Forget(order.dispatch), Say(Started(OTHER, "1.2.0"))]
    assert rules.heartbeat().running == (order.dispatch, "1.2.0")
    assert rules.take(kill(job="")) == [Forget(order.dispatch), Say(Stopped(JOB, order.dispatch, "killed"))]
    assert rules.heartbeat().running == ("1.2.0",)


def test_what_is_only_listed_takes_no_place_of_what_may_be_held(rules: NodeRules) -> None:
    for number in range(40):
        order = running(rules, gang(f"1.{number}.0", f"main-{number:032d}", ranks=(1,)))
        rules.rank_over(order.dispatch, failed=False)
    assert len(rules.held) == 40
    order = run("1.40.0", "main-" + "f" * 32)
    assert rules.take(order) == [FetchSupplies(order)]


def test_no_more_is_listed_than_a_heartbeat_may_list(rules: NodeRules) -> None:
    for number in range(HELD_MAX):
        order = running(rules, gang(f"1.{number}.0", f"main-{number:032d}", ranks=(1,)))
        rules.rank_over(order.dispatch, failed=False)
    late = run(f"1.{HELD_MAX}.0", "main-" + "f" * 32)
    assert rules.take(late) == [Say(Stopped(late.job, late.dispatch, "unclaimed"))]
    assert len(rules.heartbeat().running) == HELD_MAX


def test_a_failure_on_a_node_without_rank_0_is_told(rules: NodeRules) -> None:
    order = running(rules, gang(ranks=(1,)))
    assert rules.rank_over(order.dispatch, failed=True) == [Conclude(order)]
    assert rules.held[order.dispatch].phase is LocalPhase.STORING


def test_a_kill_halts_every_rank_and_is_answered_once(rules: NodeRules) -> None:
    order = running(rules, gang())
    assert rules.take(kill()) == [Halt(0, order.dispatch), Halt(1, order.dispatch)]
    assert rules.halted(order.dispatch) == []
    assert rules.halted(order.dispatch) == [Forget(order.dispatch), Say(Stopped(JOB, order.dispatch, "killed"))]


def test_a_kill_after_a_rank_failed_wins(rules: NodeRules) -> None:
    order = running(rules, gang())
    rules.rank_over(order.dispatch, failed=True)
    assert rules.take(kill()) == []
    assert rules.halted(order.dispatch) == [Forget(order.dispatch), Say(Stopped(JOB, order.dispatch, "killed"))]


def test_a_kill_while_rank_0_is_stored_takes_it_back(rules: NodeRules) -> None:
    order = running(rules, gang(ranks=(0,)))
    rules.rank_over(order.dispatch, failed=False)
    assert rules.take(kill()) == [Unstore(order.dispatch)]


def test_a_recall_is_too_late_once_the_ranks_have_launched(rules: NodeRules) -> None:
    rules.take(gang(ranks=(1,)))
    assert rules.take(recall()) == [Forget("1.1.0"), Say(Stopped(JOB, "1.1.0", "recalled"))]
    running(rules, gang("1.2.0", ranks=(1,)))
    assert rules.take(recall("1.2.0")) == []


def test_a_later_dispatch_replaces_what_is_only_listed(rules: NodeRules) -> None:
    running(rules, gang(ranks=(1,)))
    rules.rank_over("1.1.0", failed=False)
    again = gang("1.2.0")
    assert rules.take(again) == [Forget("1.1.0"), FetchSupplies(again)]


def test_a_rejoin_forgets_what_is_only_listed(rules: NodeRules) -> None:
    running(rules, gang(ranks=(1,)))
    rules.rank_over("1.1.0", failed=False)
    assert rules.take(Rejoin(NODE, SESSION, POOL, 1)) == [Forget("1.1.0"), JoinAgain()]
    assert rules.idle


def test_a_node_that_leaves_waits_for_word_of_what_it_lists_until_its_time_is_over(rules: NodeRules) -> None:
    running(rules, gang(ranks=(1,)))
    rules.rank_over("1.1.0", failed=False)
    rules.leave()
    assert not rules.idle
    rules.expel()
    assert rules.idle


@pytest.mark.parametrize("ranks", [(0, 1, 2, 3), ()])
def test_ranks_that_no_slots_here_can_run_are_given_back(rules: NodeRules, ranks: tuple[int, ...]) -> None:
    assert rules.take(gang(ranks=ranks, world=4)) == [Say(Stopped(JOB, "1.1.0", "unclaimed"))]


def test_a_gang_takes_slots_whose_child_nobody_will_miss(rules: NodeRules) -> None:
    rules.loaded(0, "v1")
    rules.loaded(1, "v2")
    running(rules, run("1.1.0", OTHER))
    running(rules, gang("1.2.0"))
    assert rules.held["1.1.0"].slots == (0,)
    assert rules.held["1.2.0"].slots == (2, 1)
