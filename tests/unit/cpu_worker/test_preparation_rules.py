"""Which orders a CPU worker obeys, and what follows (design section 5)."""

from __future__ import annotations

from typing import Any

import pytest

from contract.inputs import NodeHeartbeat
from contract.orders import Drain, Load, Order, Recall, Refuse, Rejoin, Run, Tell
from contract.preparation_reports import PreparationDone, PreparationStopped
from cpu_worker.rules.actions import (
    Abandon,
    Announce,
    Begin,
    JoinAgain,
    ListVersions,
    PreparationPhase,
    Say,
    StayOut,
    Sweep,
    WorkerAction,
)
from cpu_worker.rules.preparation_rules import PreparationRules
from runtime.worker.rules.holding import Holding
from tests.unit.cpu_worker.worker_orders import FOURTH, JOB, NODE, OTHER, POOL, SESSION, THIRD, kill, prepare

MANIFEST = "sha256:" + "f" * 64


def a_worker(slots: int = 1, **holding: Any) -> PreparationRules:
    return PreparationRules(NODE, SESSION, slots, Holding(**holding))


def done(preparation: str = "1.1.0", job: str = JOB) -> PreparationDone:
    return PreparationDone(job, preparation, MANIFEST, 9, 1, 2, 3)


def stopped(reason: str, preparation: str = "1.1.0", job: str = JOB) -> Say:
    return Say(PreparationStopped(job, preparation, reason))


def listed(rules: PreparationRules) -> tuple[tuple[str, ...], tuple[str, ...]]:
    beat: NodeHeartbeat = rules.heartbeat()
    return beat.running, beat.staged


def test_an_order_begins_at_once_and_its_one_report_ends_it() -> None:
    rules, order = a_worker(), prepare()
    assert rules.take(order) == [Begin(order)]
    assert listed(rules) == (("1.1.0",), ())
    assert rules.ended("1.1.0", done()) == [Sweep("1.1.0"), Say(done())]
    assert listed(rules) == ((), ())
    assert rules.idle


@pytest.mark.parametrize(
    "change",
    [{"node": "cpu-2"}, {"session": "s0"}, {"epoch": 0}],
    ids=["another worker", "another session", "old epoch"],
)
def test_an_order_that_is_not_for_this_session_changes_nothing(change: dict[str, Any]) -> None:
    rules = a_worker(slots=2)
    rules.take(prepare("1.0.0", OTHER))
    assert rules.take(prepare(**change)) == []
    assert rules.take(kill("1.0.0", OTHER, **change)) == []
    assert listed(rules) == (("1.0.0",), ())


def test_one_order_counts_once_however_often_it_comes() -> None:
    rules, order = a_worker(slots=2), prepare()
    rules.take(order)
    assert rules.take(order) == []
    rules.ended("1.1.0", done())
    assert rules.take(order) == []
    assert rules.take(prepare("1.0.0")) == []


def test_a_greater_preparation_of_the_job_replaces_what_is_held_without_a_word() -> None:
    rules = a_worker(slots=2)
    rules.take(prepare())
    newer = prepare("2.1.0", epoch=2)
    assert rules.take(newer) == [Abandon("1.1.0"), Begin(newer)]
    assert listed(rules) == (("2.1.0",), ())


def test_what_finds_no_free_place_waits_and_begins_in_the_order_it_came() -> None:
    rules = a_worker(slots=2)
    orders = [prepare(f"1.{number}.0", job) for number, job in enumerate((JOB, OTHER, THIRD, FOURTH))]
    begun = [rules.take(order) for order in orders]
    assert begun == [[Begin(orders[0])], [Begin(orders[1])], [], []]
    assert listed(rules) == (("1.0.0", "1.1.0"), ("1.2.0", "1.3.0"))
    assert rules.ended("1.1.0", done("1.1.0", OTHER))[-1] == Begin(orders[2])


def test_more_than_it_holds_goes_back_at_once_as_never_begun() -> None:
    rules = a_worker()
    assert rules.held_max == 2
    rules.take(prepare("1.0.0"))
    rules.take(prepare("1.1.0", OTHER))
    assert rules.take(prepare("1.2.0", THIRD)) == [stopped("unclaimed", "1.2.0", THIRD)]


def test_a_kill_ends_at_once_and_nothing_is_ever_said() -> None:
    rules = a_worker()
    rules.take(prepare())
    waiting = prepare("1.2.0", OTHER)
    rules.take(waiting)
    assert rules.take(kill()) == [Abandon("1.1.0")]
    assert listed(rules) == ((), ("1.2.0",)), "its place is taken until all of it has ended"
    assert rules.ended("1.1.0", done()) == [Sweep("1.1.0"), Begin(waiting)]


def test_a_kill_of_what_waits_leaves_nothing_to_end() -> None:
    rules = a_worker()
    rules.take(prepare())
    rules.take(prepare("1.2.0", OTHER))
    assert rules.take(kill("1.2.0", OTHER)) == []
    assert listed(rules) == (("1.1.0",), ())


def test_a_kill_finds_the_preparation_without_its_job() -> None:
    rules = a_worker()
    rules.take(prepare())
    assert rules.take(kill(job="")) == [Abandon("1.1.0")]


def test_a_kill_that_comes_first_keeps_its_order_from_beginning() -> None:
    rules = a_worker()
    assert rules.take(kill()) == []
    assert rules.take(prepare()) == []


def test_what_is_abandoned_counts_towards_what_the_worker_holds() -> None:
    rules = a_worker()
    rules.take(prepare("1.0.0"))
    rules.take(kill("1.0.0"))
    rules.take(prepare("1.1.0", OTHER))
    assert rules.take(prepare("1.2.0", THIRD)) == [stopped("unclaimed", "1.2.0", THIRD)]


def test_a_drain_gives_back_what_has_not_begun_and_lets_the_rest_finish() -> None:
    rules = a_worker()
    rules.take(prepare())
    rules.take(prepare("1.2.0", OTHER))
    assert rules.take(Drain(NODE, SESSION, POOL, 1)) == [Announce(), stopped("drained", "1.2.0", OTHER)]
    assert rules.heartbeat().draining
    assert rules.take(prepare("1.3.0", THIRD)) == [stopped("drained", "1.3.0", THIRD)]
    assert rules.ended("1.1.0", done()) == [Sweep("1.1.0"), Say(done())]
    assert rules.idle


def test_when_the_time_to_drain_is_over_all_goes_back() -> None:
    rules = a_worker()
    rules.take(prepare())
    rules.leave()
    assert rules.expel() == [Abandon("1.1.0"), stopped("drained")]
    assert rules.idle
    assert rules.ended("1.1.0", done()) == [Sweep("1.1.0")]


def test_a_worker_that_leaves_takes_nothing_in_a_new_session_either() -> None:
    rules = a_worker()
    rules.leave()
    rules.begin_session("s2")
    assert rules.take(prepare(session="s2")) == [stopped("drained")]


def test_a_session_that_is_over_is_left_without_a_word_and_another_begins() -> None:
    rules = a_worker()
    rules.take(prepare())
    rules.take(prepare("1.2.0", OTHER))
    assert rules.take(Rejoin(NODE, SESSION, POOL, 1)) == [Abandon("1.1.0"), JoinAgain()]
    rules.begin_session("s2")
    assert rules.ended("1.1.0", done()) == [Sweep("1.1.0")]
    assert rules.take(prepare("1.3.0", THIRD)) == [], "an order to the former session"
    assert rules.take(prepare("1.3.0", THIRD, session="s2")) != []


def test_a_worker_that_is_refused_stays_out_and_hears_no_order_to_that_session() -> None:
    rules = a_worker()
    rules.take(prepare())
    assert rules.take(Refuse(NODE, SESSION, POOL, 1, "wrong_kind")) == [Abandon("1.1.0"), StayOut("wrong_kind")]
    assert rules.take(Rejoin(NODE, SESSION, POOL, 1)) == []


def test_the_scheduler_may_ask_for_a_heartbeat() -> None:
    assert a_worker().take(Tell(NODE, SESSION, POOL, 1)) == [ListVersions(), Announce()]


@pytest.mark.parametrize(
    "order",
    [
        Run(NODE, SESSION, POOL, 1, JOB, 1, "1.1.0", "m", "v", 1, 0, 0, "sha256:"),
        Recall(NODE, SESSION, POOL, 1, JOB, "1.1.0"),
        Load(NODE, SESSION, POOL, 1, "v"),
    ],
    ids=lambda order: type(order).__name__,
)
def test_orders_for_nodes_that_run_models_mean_nothing_here(order: Order) -> None:
    rules = a_worker()
    rules.take(prepare("1.0.0", OTHER))
    assert rules.take(order) == []
    assert listed(rules) == (("1.0.0",), ())


def begun(actions: list[WorkerAction]) -> list[str]:
    return [action.order.preparation for action in actions if isinstance(action, Begin)]


def test_nothing_begins_on_a_full_disk_and_all_goes_on_when_there_is_room() -> None:
    rules = a_worker()
    rules.holding.is_disk_full = True
    assert rules.take(prepare()) == []
    assert listed(rules) == ((), ("1.1.0",))
    assert rules.heartbeat().holding == "disk"
    rules.holding.is_disk_full = False
    assert begun(rules.go_on()) == ["1.1.0"]


def test_when_the_budget_of_files_is_spent_what_waits_begins_once_a_preparation_has_ended() -> None:
    rules = a_worker(slots=2, result_bytes_max=100)
    rules.take(prepare("1.0.0"))
    rules.holding.keep("1.0.0", 100, 0)
    assert rules.take(prepare("1.1.0", OTHER)) == []
    assert rules.heartbeat().holding == "bytes"
    assert begun(rules.ended("1.0.0", done("1.0.0"))) == ["1.1.0"]
    assert rules.heartbeat().holding == ""


def test_phases_only_go_forward() -> None:
    rules = a_worker()
    rules.take(prepare())
    rules.moved("1.1.0", PreparationPhase.DECODING)
    rules.moved("1.1.0", PreparationPhase.CHECKING)
    assert rules.held["1.1.0"].phase is PreparationPhase.DECODING
    rules.take(prepare("1.2.0", OTHER))
    rules.moved("1.2.0", PreparationPhase.STORING)
    assert rules.held["1.2.0"].phase is PreparationPhase.WAITING, "what has not begun cannot have come further"
    assert rules.moved("9.9.9", PreparationPhase.STORING) == []


def test_a_preparation_of_which_nothing_came_is_given_back() -> None:
    """Whatever ended its thread: a preparation that is held gets its one report."""
    rules = a_worker()
    rules.take(prepare())
    assert rules.ended("1.1.0", None) == [Sweep("1.1.0"), stopped("outage")]


def test_what_is_told_of_a_preparation_that_nobody_holds_changes_nothing() -> None:
    assert a_worker().ended("1.1.0", done()) == []
