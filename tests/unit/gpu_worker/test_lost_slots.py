"""The rules of a node of which a slot is lost: what waited for it goes elsewhere, what is left is used."""

from __future__ import annotations

import pytest

from contract.events import JobRequeued, NodeDrained
from contract.inputs import NodeReport, Started, Stopped
from contract.orders import Drain, Run
from gpu_worker.rules.actions import Action, Announce, FetchSupplies, Forget, Halt, Launch, Say
from gpu_worker.rules.node_rules import NodeRules
from tests.unit.gpu_worker.rules_orders import JOB, NODE, OTHER, SESSION, THIRD, run
from tests.unit.scheduling.specification import Pool, a_job, only, submission


@pytest.fixture
def rules() -> NodeRules:
    return NodeRules(NODE, SESSION, slots=2)


def test_the_other_slots_go_on_and_the_lost_one_comes_back(rules: NodeRules) -> None:
    assert rules.slot_lost(0, "") == [Announce()]
    assert rules.heartbeat().usable == 1
    for number, job in ((1, JOB), (2, OTHER)):
        rules.take(run(f"1.{number}.0", job))
    assert rules.fetched("1.1.0") == [Say(Started(JOB, "1.1.0"))]
    assert rules.acknowledged("1.1.0") == [Launch((1,), run())]
    assert rules.fetched("1.2.0") == []
    assert rules.slot_regained(0) == [Announce(), Say(Started(OTHER, "1.2.0"))]
    assert rules.heartbeat().usable == -1


def test_what_the_node_can_no_longer_run_goes_back_and_counts_no_failure(rules: NodeRules) -> None:
    gang = run("1.2.0", OTHER, ranks=(0, 1), world=2)
    for order in (gang, run("1.1.0", JOB)):
        rules.take(order)
    assert rules.slot_lost(1, "") == [
        Announce(),
        Forget(gang.dispatch),
        Say(Stopped(OTHER, gang.dispatch, "unclaimed")),
    ]
    assert list(rules.held) == ["1.1.0"]
    again = run("1.3.0", OTHER, ranks=(0, 1), world=2)
    assert rules.take(again) == [Say(Stopped(OTHER, again.dispatch, "unclaimed"))]
    rules.slot_lost(0, "")
    assert rules.idle
    assert rules.take(run("1.4.0", THIRD)) == [Say(Stopped(THIRD, "1.4.0", "unclaimed"))]


def test_an_attempt_that_waits_in_the_lost_slot_is_stopped_there(rules: NodeRules) -> None:
    rules.take(run())
    rules.fetched("1.1.0")
    rules.acknowledged("1.1.0")
    assert rules.slot_lost(0, "1.1.0") == [Announce(), Halt(0, "1.1.0")]
    assert rules.halted("1.1.0") == [Forget("1.1.0"), Say(Stopped(JOB, "1.1.0", "unclaimed"))]


def test_an_attempt_that_was_about_to_take_the_lost_slot_goes_back(rules: NodeRules) -> None:
    rules.take(run())
    rules.fetched("1.1.0")
    assert rules.slot_lost(0, "") == [Announce(), Forget("1.1.0"), Say(Stopped(JOB, "1.1.0", "unclaimed"))]
    assert rules.acknowledged("1.1.0") == []


def test_an_attempt_elsewhere_is_not_touched(rules: NodeRules) -> None:
    assert rules.take(run()) == [FetchSupplies(run())]
    rules.fetched("1.1.0")
    assert rules.slot_lost(1, "") == [Announce()]
    assert rules.acknowledged("1.1.0") == [Launch((0,), run())]


def said_to(pool: Pool, rules: NodeRules, actions: list[Action]) -> list[Action]:
    """Bring the reports to the pool. The other actions are left."""
    reports = tuple(action.report for action in actions if isinstance(action, Say))
    if reports:
        pool.tell(NodeReport(NODE, SESSION, reports))
    return [action for action in actions if not isinstance(action, Say)]


@pytest.mark.parametrize("is_acknowledged", [True, False], ids=["launched behind a child", "before its start"])
def test_the_pool_takes_one_slot_from_a_node_that_lost_one_and_the_job_goes_to_another(
    rules: NodeRules, is_acknowledged: bool
) -> None:
    """Both halves. The node once said `drained`, at which the pool drained all of it until its next session."""
    pool = Pool()
    pool.publish()
    pool.join(NODE, slots=2, session=SESSION)
    pool.tell(submission(1))
    (order,) = pool.orders()
    assert isinstance(order, Run)
    rules.take(order)
    said_to(pool, rules, rules.fetched(order.dispatch))
    if is_acknowledged:
        rules.acknowledged(order.dispatch)
    said_to(pool, rules, rules.slot_lost(0, order.dispatch if is_acknowledged else ""))
    said_to(pool, rules, rules.halted(order.dispatch) if is_acknowledged else [])
    (requeued,) = only(pool.events, JobRequeued)
    assert pool.job(a_job(1)).failures == 0
    for _ in range(3):
        pool.tell(rules.heartbeat(), after_ms=5_000)
        assert not any(isinstance(order, Drain) for order in pool.orders())
    node = pool.state.nodes[NODE]
    assert (node.draining, node.usable) == (False, 1)
    assert [event for batch in pool.batches for event in batch.events if isinstance(event, NodeDrained)] == []
    assert requeued.eligible_lease_ms > 0, "it rests once, and then goes to the slot that is left"
    assert pool.attempt(a_job(1)).node == NODE
