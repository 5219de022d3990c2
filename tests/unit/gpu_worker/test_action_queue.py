"""One queue between rules and agent: actions are carried out in the order in which the rules answered them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contract.inputs import AttemptReport, Failed, Report
from contract.orders import Run
from gpu_worker.rules.actions import Action, Announce, Conclude, FetchSupplies, Forget, Halt, Launch, Prefetch, Say
from gpu_worker.rules.node_rules import NodeRules
from runtime.worker.rules.action_queue import ActionQueue
from tests.unit.gpu_worker.rules_orders import JOB, NODE, OTHER, SESSION, THIRD, run


def test_what_follows_from_an_action_waits_behind_what_was_answered_before() -> None:
    done: list[Action] = []
    follows: dict[Action, list[Action]] = {
        Prefetch("a"): [Prefetch("c"), Prefetch("d")],
        Prefetch("c"): [Prefetch("e")],
    }

    def carry_out(action: Action) -> None:
        done.append(action)
        queue.add(follows.get(action, []))

    queue = ActionQueue(carry_out)
    queue.add([Prefetch("a"), Prefetch("b")])
    assert done == [Prefetch(version) for version in "abcde"]
    queue.add([Prefetch("f")])
    assert done[-1] == Prefetch("f")


def test_a_defect_in_an_action_does_not_stop_the_queue_for_ever() -> None:
    done: list[Action] = []

    def carry_out(action: Action) -> None:
        done.append(action)
        if isinstance(action, Announce):
            raise ZeroDivisionError

    queue = ActionQueue(carry_out)
    with pytest.raises(ZeroDivisionError):
        queue.add([Announce(), Prefetch("a")])
    queue.add([Prefetch("b")])
    assert done == [Announce(), Prefetch("a"), Prefetch("b")]


class FailingSlots:
    """Rules of a node of two slots, and an agent whose children all fail to start, at once."""

    def __init__(self) -> None:
        self.rules = NodeRules(NODE, SESSION, slots=2)
        self.queue = ActionQueue(self.carry_out)
        self.done: list[Action] = []

    def carry_out(self, action: Action) -> None:
        self.done.append(action)
        match action:
            case FetchSupplies(run):
                self.queue.add(self.rules.fetched(run.dispatch))
            case Launch(slots, run):
                for _ in slots:
                    self.queue.add(self.rules.rank_over(run.dispatch, failed=True))
            case Conclude(run):
                self.queue.add(self.rules.ended(run.dispatch, Failed(run.job, run.dispatch, "environment", "OSError")))


def far(dispatch: str, job: str, ranks: tuple[int, ...]) -> Run:
    """A part of a gang that this node launches without asking: rank 0 is elsewhere."""
    return run(dispatch, job, ranks=ranks, world=9, rendezvous="host:1")


def launched(actions: list[Action]) -> list[str]:
    return [action.run.dispatch for action in actions if isinstance(action, Launch)]


def waiting_for_a_gang(node: FailingSlots) -> Run:
    """Two attempts take a slot each as soon as a gang of both slots is over; a third one waits for either."""
    gang = far("1.1.0", JOB, (1, 2))
    node.rules.take(gang)
    node.rules.fetched(gang.dispatch)
    for dispatch, job in (("1.2.0", OTHER), ("1.3.0", THIRD), ("1.4.0", "main-" + "9" * 32)):
        node.rules.take(far(dispatch, job, (3,)))
        node.rules.fetched(dispatch)
    node.rules.rank_over(gang.dispatch, failed=False)
    return gang


def named(report: Report) -> str:
    assert isinstance(report, AttemptReport)
    return report.dispatch


def test_a_launch_that_fails_at_once_lets_no_later_attempt_pass_an_earlier_one() -> None:
    node = FailingSlots()
    gang = waiting_for_a_gang(node)
    node.queue.add(node.rules.rank_over(gang.dispatch, failed=False))
    assert launched(node.done) == ["1.2.0", "1.3.0", "1.4.0"]
    assert not any(isinstance(action, Halt) for action in node.done)
    reports = [named(action.report) for action in node.done if isinstance(action, Say)]
    assert reports == ["1.2.0", "1.3.0", "1.4.0"]
    assert list(node.rules.held) == [gang.dispatch], "it is listed until a Kill comes"
    assert [action.dispatch for action in node.done if isinstance(action, Forget)] == [gang.dispatch, *reports]


def test_without_the_queue_a_later_attempt_would_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recursion, as it was: what follows from an action is carried out before the next action."""

    def recurse(queue: ActionQueue[Action], answer: list[Action]) -> None:
        carry_out: Callable[[Action], None] = queue._carry_out
        for action in answer:
            carry_out(action)

    monkeypatch.setattr(ActionQueue, "add", recurse)
    node = FailingSlots()
    gang = waiting_for_a_gang(node)
    node.queue.add(node.rules.rank_over(gang.dispatch, failed=False))
    assert launched(node.done) == ["1.2.0", "1.4.0", "1.3.0"]
