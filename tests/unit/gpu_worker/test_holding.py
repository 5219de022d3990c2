"""A node without room for results holds its slots: nothing starts, nothing is dropped, and the heartbeat says why."""

from __future__ import annotations

import pytest

from contract.inputs import HOLDING, Started, Succeeded
from gpu_worker.rules.actions import Say
from gpu_worker.rules.node_rules import NodeRules
from runtime.worker.rules.holding import Holding
from tests.unit.gpu_worker.rules_orders import NODE, OTHER, SESSION, run


@pytest.fixture
def rules() -> NodeRules:
    return NodeRules(NODE, SESSION, 1, Holding(result_bytes_max=100, value_bytes_max=50))


def storing(rules: NodeRules, on_disk: int, in_memory: int = 0) -> None:
    """One attempt has computed and is being stored."""
    rules.take(run("1.1.0"))
    rules.fetched("1.1.0")
    rules.acknowledged("1.1.0")
    rules.holding.keep("1.1.0", on_disk, in_memory)
    rules.computed("1.1.0")


@pytest.mark.parametrize(("on_disk", "in_memory"), [(100, 0), (0, 50)])
def test_when_the_budget_is_spent_what_is_ready_waits_until_a_result_is_stored(
    rules: NodeRules, on_disk: int, in_memory: int
) -> None:
    storing(rules, on_disk, in_memory)
    taken = rules.take(run("1.2.0", OTHER))
    assert not any(isinstance(action, Say) for action in taken), "an order is never answered `unclaimed` for bytes"
    assert rules.fetched("1.2.0") == []
    assert rules.heartbeat().holding == "bytes"
    assert set(rules.held) == {"1.1.0", "1.2.0"}, "no result is dropped"
    rules.holding.let_go("1.1.0")
    actions = rules.ended("1.1.0", Succeeded("j", "1.1.0", "sha256:"))
    assert Say(Started(OTHER, "1.2.0")) in actions
    assert rules.heartbeat().holding == ""


def test_within_the_budget_the_slot_works_on(rules: NodeRules) -> None:
    storing(rules, 99, 49)
    rules.holding.note_wait("result 1.1.0", "store")
    rules.take(run("1.2.0", OTHER))
    assert rules.fetched("1.2.0") == [Say(Started(OTHER, "1.2.0"))]
    assert rules.heartbeat().holding == "store"


def test_nothing_starts_on_a_full_disk_and_all_goes_on_when_there_is_room(rules: NodeRules) -> None:
    rules.holding.is_disk_full = True
    rules.take(run("1.2.0", OTHER))
    assert rules.fetched("1.2.0") == []
    assert rules.heartbeat().holding == "disk"
    rules.holding.is_disk_full = False
    assert rules.go_on() == [Say(Started(OTHER, "1.2.0"))]


def test_what_is_said_are_words_of_the_contract() -> None:
    holding = Holding(result_bytes_max=1)
    said = [holding.reason]
    for cause in ("store", "payloads", "disk"):
        holding.note_wait(cause, cause)
        said.append(holding.reason)
    for cause in ("disk", "payloads", "store", "never known"):
        holding.note_wait(cause, "")
    said.append(holding.reason)
    holding.keep("1.1.0", 1, 0)
    said.append(holding.reason)
    assert said[0] == said[4] == ""
    assert {word for word in said if word} == set(HOLDING)
