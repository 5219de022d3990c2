"""The rules of a node: which orders it takes and what follows. Pure; the desk's invariants hold after every step."""

from __future__ import annotations

import pytest

from contract.inputs import Failed, Started, Stopped, Succeeded
from contract.orders import Drain, Kill, Load, Recall, Rejoin, Run
from gpu_worker.rules.actions import (
    Announce,
    Fetch,
    Forget,
    Halt,
    JoinAgain,
    Launch,
    Phase,
    Prefetch,
    Say,
    Unstore,
)
from gpu_worker.rules.node_rules import Desk
from tests.unit.gpu_worker.rules_orders import JOB, NODE, POOL, SESSION, kill, recall, run


@pytest.fixture
def desk() -> Desk:
    return Desk(NODE, SESSION, slots=1)


def staged(desk: Desk, order: Run) -> Run:
    assert desk.take(order) == [Fetch(order)]
    return order


def ready(desk: Desk, order: Run) -> Run:
    desk.fetched(staged(desk, order).dispatch)
    return order


def running(desk: Desk, order: Run) -> Run:
    assert desk.fetched(staged(desk, order).dispatch) == [Say(Started(order.job, order.dispatch))]
    assert desk.acknowledged(order.dispatch) == [Launch((0,), order)]
    return order


def test_an_attempt_goes_from_order_to_result(desk: Desk) -> None:
    order = running(desk, run())
    report = Succeeded(JOB, order.dispatch, "sha256:")
    assert desk.ended(order.dispatch, report) == [Forget(order.dispatch), Say(report)]
    assert desk.idle


def test_nothing_launches_before_the_ack_of_its_started(desk: Desk) -> None:
    order = staged(desk, run())
    assert desk.fetched(order.dispatch) == [Say(Started(JOB, order.dispatch))]
    assert desk.held[order.dispatch].phase is Phase.STARTING


@pytest.mark.parametrize("wrong", [{"node": "node-2"}, {"session": "s0"}])
def test_orders_to_another_node_or_session_are_ignored(desk: Desk, wrong: dict[str, str]) -> None:
    assert desk.take(run(**wrong)) == []
    assert desk.take(kill(**wrong)) == []


def test_an_epoch_lower_than_one_seen_from_that_pool_is_refused(desk: Desk) -> None:
    desk.take(Load(NODE, SESSION, POOL, 3, "v1"))
    assert desk.take(run(epoch=2)) == []
    assert desk.take(kill(epoch=2)) == []
    assert desk.take(run(epoch=2, pool="other")) != []


@pytest.mark.parametrize("again", ["1.1.0", "1.0.7", "0.9.9"])
def test_a_dispatch_not_greater_than_one_seen_of_the_job_is_a_repeat(desk: Desk, again: str) -> None:
    staged(desk, run("1.1.0"))
    assert desk.take(run(again)) == []
    desk.take(kill("1.1.0"))
    assert desk.take(run(again)) == []


def test_dispatches_compare_as_numbers(desk: Desk) -> None:
    staged(desk, run("1.9.0"))
    assert Fetch(run("1.10.0")) in desk.take(run("1.10.0"))


def test_a_dispatch_that_is_none_is_refused(desk: Desk) -> None:
    assert desk.take(run("first")) == []


def test_a_greater_dispatch_replaces_what_is_staged_without_a_word(desk: Desk) -> None:
    staged(desk, run("1.1.0"))
    assert desk.take(run("1.2.0")) == [Forget("1.1.0"), Fetch(run("1.2.0"))]
    assert list(desk.held) == ["1.2.0"]


def test_a_greater_dispatch_replaces_what_runs_when_that_has_stopped(desk: Desk) -> None:
    running(desk, run("1.1.0"))
    assert desk.take(run("2.1.0", epoch=2)) == [Halt(0, "1.1.0"), Fetch(run("2.1.0", epoch=2))]
    assert desk.heartbeat().running == ()
    assert desk.fetched("2.1.0") == []
    assert desk.halted("1.1.0") == [Forget("1.1.0"), Say(Started(JOB, "2.1.0"))]


def test_a_kill_of_a_staged_attempt_drops_it(desk: Desk) -> None:
    staged(desk, run())
    assert desk.take(kill()) == [Forget("1.1.0"), Say(Stopped(JOB, "1.1.0", "killed"))]
    assert desk.fetched("1.1.0") == []


def test_a_kill_before_the_ack_of_started_never_launches(desk: Desk) -> None:
    ready(desk, run())
    assert Say(Stopped(JOB, "1.1.0", "killed")) in desk.take(kill())
    assert desk.acknowledged("1.1.0") == []


def test_an_attempt_whose_started_the_broker_never_has_gives_its_slot_back(desk: Desk) -> None:
    ready(desk, run())
    other = run("1.2.0", "main-" + "1" * 32)
    ready(desk, other)
    assert desk.unsaid("1.1.0") == [
        Forget("1.1.0"),
        Say(Stopped(JOB, "1.1.0", "unclaimed")),
        Say(Started(other.job, "1.2.0")),
    ]
    assert desk.unsaid("1.1.0") == []
    assert desk.acknowledged("1.1.0") == []


def test_a_kill_keeps_the_slot_occupied_until_it_is_certain(desk: Desk) -> None:
    running(desk, run())
    ready(desk, run("1.2.0", "main-" + "1" * 32))
    assert desk.take(kill()) == [Halt(0, "1.1.0")]
    assert desk.take(kill()) == []
    assert desk.heartbeat().running == ("1.1.0",)
    assert desk.halted("1.1.0") == [
        Forget("1.1.0"),
        Say(Stopped(JOB, "1.1.0", "killed")),
        Say(Started("main-" + "1" * 32, "1.2.0")),
    ]


def test_a_kill_while_outputs_are_stored_wins_over_the_result(desk: Desk) -> None:
    running(desk, run())
    desk.computed("1.1.0")
    assert desk.take(kill()) == [Unstore("1.1.0")]
    said = desk.ended("1.1.0", Succeeded(JOB, "1.1.0", "sha256:"))
    assert said == [Forget("1.1.0"), Say(Stopped(JOB, "1.1.0", "killed"))]


@pytest.mark.parametrize(("order", "reason"), [(kill(), "killed"), (recall(), "recalled")])
def test_what_is_not_held_is_answered_and_does_not_run_later(desk: Desk, order: Kill | Recall, reason: str) -> None:
    assert desk.take(order) == [Say(Stopped(JOB, "1.1.0", reason))]
    assert desk.take(order) == [Say(Stopped(JOB, "1.1.0", reason))]
    assert desk.take(run()) == []


def test_a_kill_of_what_was_replaced_leaves_its_successor_alone(desk: Desk) -> None:
    staged(desk, run("1.1.0"))
    desk.take(run("1.2.0"))
    assert desk.take(kill("1.1.0")) == [Say(Stopped(JOB, "1.1.0", "killed"))]
    assert list(desk.held) == ["1.2.0"]


def test_a_recall_gives_back_what_is_staged_and_leaves_what_has_started(desk: Desk) -> None:
    running(desk, run())
    other = "main-" + "1" * 32
    ready(desk, run("1.2.0", other))
    assert desk.take(recall()) == []
    assert desk.take(recall("1.2.0", other)) == [Forget("1.2.0"), Say(Stopped(other, "1.2.0", "recalled"))]


def test_a_recall_that_meets_a_started_on_its_way_is_too_late(desk: Desk) -> None:
    ready(desk, run())
    assert desk.take(recall()) == []


def test_a_free_slot_takes_what_is_staged_in_the_same_breath(desk: Desk) -> None:
    running(desk, run())
    other = run("1.2.0", "main-" + "1" * 32)
    ready(desk, other)
    report = Succeeded(JOB, "1.1.0", "sha256:")
    assert desk.ended("1.1.0", report) == [Forget("1.1.0"), Say(report), Say(Started(other.job, "1.2.0"))]


def test_a_slot_is_free_while_outputs_are_stored(desk: Desk) -> None:
    running(desk, run())
    other = run("1.2.0", "main-" + "1" * 32)
    ready(desk, other)
    assert desk.computed("1.1.0") == [Say(Started(other.job, "1.2.0"))]
    assert desk.heartbeat().running == ("1.1.0", "1.2.0")


def test_an_attempt_goes_to_the_slot_that_has_its_version() -> None:
    desk = Desk(NODE, SESSION, slots=3)
    desk.loaded(0, "v2")
    desk.loaded(2, "v1")
    jobs = [f"main-{n:032d}" for n in range(3)]
    for n, version in enumerate(["v1", "v1", "v2"]):
        ready(desk, run(f"1.{n}.0", jobs[n], version=version))
    assert [held.slots for held in desk.held.values()] == [(2,), (1,), (0,)]


def test_a_failed_fetch_ends_the_attempt(desk: Desk) -> None:
    staged(desk, run())
    report = Failed(JOB, "1.1.0", "payload_missing", "PayloadMissing")
    assert desk.ended("1.1.0", report) == [Forget("1.1.0"), Say(report)]


def test_a_drain_hands_back_what_is_staged_and_lets_the_rest_finish(desk: Desk) -> None:
    running(desk, run())
    other = run("1.2.0", "main-" + "1" * 32)
    ready(desk, other)
    assert desk.take(Drain(NODE, SESSION, POOL, 1)) == [
        Announce(),
        Forget("1.2.0"),
        Say(Stopped(other.job, "1.2.0", "drained")),
    ]
    assert desk.heartbeat().draining
    late = run("1.3.0", "main-" + "2" * 32)
    assert desk.take(late) == [Say(Stopped(late.job, "1.3.0", "drained"))]
    assert list(desk.held) == ["1.1.0"]


def test_the_end_of_a_drain_stops_what_runs(desk: Desk) -> None:
    running(desk, run())
    desk.leave()
    assert desk.expel() == [Halt(0, "1.1.0")]
    assert desk.halted("1.1.0") == [Forget("1.1.0"), Say(Stopped(JOB, "1.1.0", "drained"))]


def test_a_rejoin_stops_everything_without_a_word_and_begins_anew(desk: Desk) -> None:
    running(desk, run())
    ready(desk, run("1.2.0", "main-" + "1" * 32))
    assert desk.take(Rejoin(NODE, SESSION, POOL, 1)) == [Forget("1.2.0"), Halt(0, "1.1.0"), JoinAgain()]
    desk.begin_session("s2")
    assert desk.heartbeat().running == ()
    assert desk.take(run("1.3.0", "main-" + "2" * 32)) == []
    new = run("1.4.0", "main-" + "3" * 32, session="s2")
    ready(desk, new)
    assert desk.halted("1.1.0") == [Forget("1.1.0"), Say(Started(new.job, "1.4.0"))]


def test_a_rejoin_never_starts_what_it_is_about_to_stop(desk: Desk) -> None:
    ready(desk, run())
    ready(desk, run("1.2.0", "main-" + "1" * 32))
    said = desk.take(Rejoin(NODE, SESSION, POOL, 1))
    assert [action for action in said if isinstance(action, Say)] == []
    assert desk.idle


def test_a_new_session_ends_an_ordered_drain_but_not_a_leave(desk: Desk) -> None:
    desk.drain()
    desk.begin_session("s2")
    assert not desk.draining
    desk.leave()
    desk.begin_session("s3")
    assert desk.draining


def test_a_load_is_fetched_ahead(desk: Desk) -> None:
    assert desk.take(Load(NODE, SESSION, POOL, 1, "v9")) == [Prefetch("v9")]


def test_a_heartbeat_lists_what_is_held_loaded_and_cached(desk: Desk) -> None:
    running(desk, run())
    staged(desk, run("1.2.0", "main-" + "1" * 32))
    assert desk.loaded(0, "v1") == [Announce()]
    assert desk.loaded(0, "v1") == []
    desk.cached = ("v1", "v2")
    heartbeat = desk.heartbeat()
    assert (heartbeat.running, heartbeat.staged) == (("1.1.0",), ("1.2.0",))
    assert (heartbeat.loaded, heartbeat.cached, heartbeat.draining) == (("v1",), ("v1", "v2"), False)


def test_more_than_a_node_can_hold_is_given_back(desk: Desk) -> None:
    taken = [desk.take(run(f"1.{n}.0", f"main-{n:032d}")) for n in range(30)]
    assert [Fetch in map(type, actions) for actions in taken] == [True] * 20 + [False] * 10
    assert taken[-1] == [Say(Stopped(f"main-{29:032d}", "1.29.0", "unclaimed"))]
