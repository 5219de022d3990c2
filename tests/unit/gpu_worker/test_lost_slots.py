"""The rules of a node of which a slot is lost: what waited for it goes elsewhere, what is left is used."""

from __future__ import annotations

import pytest

from contract.inputs import Started, Stopped
from gpu_worker.rules.actions import Announce, FetchSupplies, Forget, Halt, Launch, Say
from gpu_worker.rules.node_rules import NodeRules
from tests.unit.gpu_worker.rules_orders import JOB, NODE, OTHER, SESSION, THIRD, run


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
    assert rules.halted("1.1.0") == [Forget("1.1.0"), Say(Stopped(JOB, "1.1.0", "drained"))]


def test_an_attempt_that_was_about_to_take_the_lost_slot_goes_back(rules: NodeRules) -> None:
    rules.take(run())
    rules.fetched("1.1.0")
    assert rules.slot_lost(0, "") == [Announce(), Forget("1.1.0"), Say(Stopped(JOB, "1.1.0", "drained"))]
    assert rules.acknowledged("1.1.0") == []


def test_an_attempt_elsewhere_is_not_touched(rules: NodeRules) -> None:
    assert rules.take(run()) == [FetchSupplies(run())]
    rules.fetched("1.1.0")
    assert rules.slot_lost(1, "") == [Announce()]
    assert rules.acknowledged("1.1.0") == [Launch((0,), run())]
