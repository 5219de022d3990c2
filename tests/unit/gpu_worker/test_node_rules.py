"""The rules of a node: which orders the node obeys, and what follows from them."""

from __future__ import annotations

import pytest

from contract.inputs import Failed, Started, Stopped, Succeeded, cached_digest
from contract.orders import Drain, Kill, Load, Recall, Refuse, Rejoin, Run, Tell
from gpu_worker.rules.actions import (
    Announce,
    FetchSupplies,
    Forget,
    Halt,
    JoinAgain,
    Launch,
    ListVersions,
    LocalPhase,
    Prefetch,
    Say,
    StayOut,
    Unstore,
)
from gpu_worker.rules.node_rules import NodeRules
from tests.unit.gpu_worker.rules_orders import JOB, NODE, POOL, SESSION, kill, recall, run


@pytest.fixture
def rules() -> NodeRules:
    return NodeRules(NODE, SESSION, slots=1)


def staged(rules: NodeRules, order: Run) -> Run:
    assert rules.take(order) == [FetchSupplies(order)]
    return order


def ready(rules: NodeRules, order: Run) -> Run:
    rules.fetched(staged(rules, order).dispatch)
    return order


def running(rules: NodeRules, order: Run) -> Run:
    assert rules.fetched(staged(rules, order).dispatch) == [Say(Started(order.job, order.dispatch))]
    assert rules.acknowledged(order.dispatch) == [Launch((0,), order)]
    return order


def test_an_attempt_goes_from_order_to_result(rules: NodeRules) -> None:
    order = running(rules, run())
    report = Succeeded(JOB, order.dispatch, "sha256:")
    assert rules.ended(order.dispatch, report) == [Forget(order.dispatch), Say(report)]
    assert rules.idle


def test_nothing_launches_before_the_ack_of_its_started(rules: NodeRules) -> None:
    order = staged(rules, run())
    assert rules.fetched(order.dispatch) == [Say(Started(JOB, order.dispatch))]
    assert rules.held[order.dispatch].phase is LocalPhase.STARTING


@pytest.mark.parametrize("wrong", [{"node": "node-2"}, {"session": "s0"}])
def test_orders_to_another_node_or_session_are_ignored(rules: NodeRules, wrong: dict[str, str]) -> None:
    assert rules.take(run(**wrong)) == []
    assert rules.take(kill(**wrong)) == []


def test_an_epoch_lower_than_one_seen_from_that_pool_is_refused(rules: NodeRules) -> None:
    rules.take(Load(NODE, SESSION, POOL, 3, "v1"))
    assert rules.take(run(epoch=2)) == []
    assert rules.take(kill(epoch=2)) == []
    assert rules.take(run(epoch=2, pool="other")) != []


@pytest.mark.parametrize("again", ["1.1.0", "1.0.7", "0.9.9"])
def test_a_dispatch_not_greater_than_one_seen_of_the_job_is_a_repeat(rules: NodeRules, again: str) -> None:
    staged(rules, run("1.1.0"))
    assert rules.take(run(again)) == []
    rules.take(kill("1.1.0"))
    assert rules.take(run(again)) == []


def test_dispatches_compare_as_numbers(rules: NodeRules) -> None:
    staged(rules, run("1.9.0"))
    assert FetchSupplies(run("1.10.0")) in rules.take(run("1.10.0"))


def test_a_dispatch_that_is_none_is_refused(rules: NodeRules) -> None:
    assert rules.take(run("first")) == []


def test_a_greater_dispatch_replaces_what_is_staged_without_a_word(rules: NodeRules) -> None:
    staged(rules, run("1.1.0"))
    assert rules.take(run("1.2.0")) == [Forget("1.1.0"), FetchSupplies(run("1.2.0"))]
    assert list(rules.held) == ["1.2.0"]


def test_a_greater_dispatch_replaces_what_runs_when_that_has_stopped(rules: NodeRules) -> None:
    running(rules, run("1.1.0"))
    assert rules.take(run("2.1.0", epoch=2)) == [Halt(0, "1.1.0"), FetchSupplies(run("2.1.0", epoch=2))]
    assert rules.heartbeat().running == ()
    assert rules.fetched("2.1.0") == []
    assert rules.halted("1.1.0") == [Forget("1.1.0"), Say(Started(JOB, "2.1.0"))]


def test_a_kill_of_a_staged_attempt_drops_it(rules: NodeRules) -> None:
    staged(rules, run())
    assert rules.take(kill()) == [Forget("1.1.0"), Say(Stopped(JOB, "1.1.0", "killed"))]
    assert rules.fetched("1.1.0") == []


def test_a_kill_before_the_ack_of_started_never_launches(rules: NodeRules) -> None:
    ready(rules, run())
    assert Say(Stopped(JOB, "1.1.0", "killed")) in rules.take(kill())
    assert rules.acknowledged("1.1.0") == []


def test_an_attempt_whose_started_the_broker_never_has_gives_its_slot_back(rules: NodeRules) -> None:
    ready(rules, run())
    other = run("1.2.0", "main-" + "1" * 32)
    ready(rules, other)
    assert rules.unsaid("1.1.0") == [
        Forget("1.1.0"),
        Say(Stopped(JOB, "1.1.0", "unclaimed")),
        Say(Started(other.job, "1.2.0")),
    ]
    assert rules.unsaid("1.1.0") == []
    assert rules.acknowledged("1.1.0") == []


def test_a_kill_keeps_the_slot_occupied_until_it_is_certain(rules: NodeRules) -> None:
    running(rules, run())
    ready(rules, run("1.2.0", "main-" + "1" * 32))
    assert rules.take(kill()) == [Halt(0, "1.1.0")]
    assert rules.take(kill()) == []
    assert rules.heartbeat().running == ("1.1.0",)
    assert rules.halted("1.1.0") == [
        Forget("1.1.0"),
        Say(Stopped(JOB, "1.1.0", "killed")),
        Say(Started("main-" + "1" * 32, "1.2.0")),
    ]


def test_a_kill_while_outputs_are_stored_wins_over_the_result(rules: NodeRules) -> None:
    running(rules, run())
    rules.computed("1.1.0")
    assert rules.take(kill()) == [Unstore("1.1.0")]
    said = rules.ended("1.1.0", Succeeded(JOB, "1.1.0", "sha256:"))
    assert said == [Forget("1.1.0"), Say(Stopped(JOB, "1.1.0", "killed"))]


@pytest.mark.parametrize(("order", "reason"), [(kill(), "killed"), (recall(), "recalled")])
def test_what_is_not_held_is_answered_and_does_not_run_later(
    rules: NodeRules, order: Kill | Recall, reason: str
) -> None:
    assert rules.take(order) == [Say(Stopped(JOB, "1.1.0", reason))]
    assert rules.take(order) == [Say(Stopped(JOB, "1.1.0", reason))]
    assert rules.take(run()) == []


def test_a_kill_of_what_was_replaced_leaves_its_successor_alone(rules: NodeRules) -> None:
    staged(rules, run("1.1.0"))
    rules.take(run("1.2.0"))
    assert rules.take(kill("1.1.0")) == [Say(Stopped(JOB, "1.1.0", "killed"))]
    assert list(rules.held) == ["1.2.0"]


def test_a_recall_gives_back_what_is_staged_and_leaves_what_has_started(rules: NodeRules) -> None:
    running(rules, run())
    other = "main-" + "1" * 32
    ready(rules, run("1.2.0", other))
    assert rules.take(recall()) == []
    assert rules.take(recall("1.2.0", other)) == [Forget("1.2.0"), Say(Stopped(other, "1.2.0", "recalled"))]


def test_a_recall_that_meets_a_started_on_its_way_is_too_late(rules: NodeRules) -> None:
    ready(rules, run())
    assert rules.take(recall()) == []


def test_a_free_slot_takes_what_is_staged_in_the_same_breath(rules: NodeRules) -> None:
    running(rules, run())
    other = run("1.2.0", "main-" + "1" * 32)
    ready(rules, other)
    report = Succeeded(JOB, "1.1.0", "sha256:")
    assert rules.ended("1.1.0", report) == [Forget("1.1.0"), Say(report), Say(Started(other.job, "1.2.0"))]


def test_a_slot_is_free_while_outputs_are_stored(rules: NodeRules) -> None:
    running(rules, run())
    other = run("1.2.0", "main-" + "1" * 32)
    ready(rules, other)
    assert rules.computed("1.1.0") == [Say(Started(other.job, "1.2.0"))]
    assert rules.heartbeat().running == ("1.1.0", "1.2.0")


def test_an_attempt_goes_to_the_slot_that_has_its_version() -> None:
    rules = NodeRules(NODE, SESSION, slots=3)
    rules.loaded(0, "v2")
    rules.loaded(2, "v1")
    jobs = [f"main-{n:032d}" for n in range(3)]
    for n, version in enumerate(["v1", "v1", "v2"]):
        ready(rules, run(f"1.{n}.0", jobs[n], version=version))
    assert [held.slots for held in rules.held.values()] == [(2,), (1,), (0,)]


def test_a_failed_fetch_ends_the_attempt(rules: NodeRules) -> None:
    staged(rules, run())
    report = Failed(JOB, "1.1.0", "payload_missing", "PayloadMissing")
    assert rules.ended("1.1.0", report) == [Forget("1.1.0"), Say(report)]


def test_a_drain_hands_back_what_is_staged_and_lets_the_rest_finish(rules: NodeRules) -> None:
    running(rules, run())
    other = run("1.2.0", "main-" + "1" * 32)
    ready(rules, other)
    assert rules.take(Drain(NODE, SESSION, POOL, 1)) == [
        Announce(),
        Forget("1.2.0"),
        Say(Stopped(other.job, "1.2.0", "drained")),
    ]
    assert rules.heartbeat().draining
    late = run("1.3.0", "main-" + "2" * 32)
    assert rules.take(late) == [Say(Stopped(late.job, "1.3.0", "drained"))]
    assert list(rules.held) == ["1.1.0"]


def test_the_end_of_a_drain_stops_what_runs(rules: NodeRules) -> None:
    running(rules, run())
    rules.leave()
    assert rules.expel() == [Halt(0, "1.1.0")]
    assert rules.halted("1.1.0") == [Forget("1.1.0"), Say(Stopped(JOB, "1.1.0", "drained"))]


def test_a_rejoin_stops_everything_without_a_word_and_begins_anew(rules: NodeRules) -> None:
    running(rules, run())
    ready(rules, run("1.2.0", "main-" + "1" * 32))
    assert rules.take(Rejoin(NODE, SESSION, POOL, 1)) == [Forget("1.2.0"), Halt(0, "1.1.0"), JoinAgain()]
    rules.begin_session("s2")
    assert rules.heartbeat().running == ()
    assert rules.take(run("1.3.0", "main-" + "2" * 32)) == []
    new = run("1.4.0", "main-" + "3" * 32, session="s2")
    ready(rules, new)
    assert rules.halted("1.1.0") == [Forget("1.1.0"), Say(Started(new.job, "1.4.0"))]


def test_a_rejoin_never_starts_what_it_is_about_to_stop(rules: NodeRules) -> None:
    ready(rules, run())
    ready(rules, run("1.2.0", "main-" + "1" * 32))
    said = rules.take(Rejoin(NODE, SESSION, POOL, 1))
    assert [action for action in said if isinstance(action, Say)] == []
    assert rules.idle


def test_a_new_session_ends_an_ordered_drain_but_not_a_leave(rules: NodeRules) -> None:
    rules.drain()
    rules.begin_session("s2")
    assert not rules.draining
    rules.leave()
    rules.begin_session("s3")
    assert rules.draining


def test_a_load_is_fetched_ahead(rules: NodeRules) -> None:
    assert rules.take(Load(NODE, SESSION, POOL, 1, "v9")) == [Prefetch("v9", wheels_from_index=True)]
    assert rules.take(Load(NODE, SESSION, POOL, 1, "v9", wheels_from_index=False)) == [Prefetch("v9", False)]


def test_a_heartbeat_lists_what_is_held_loaded_and_cached(rules: NodeRules) -> None:
    running(rules, run())
    staged(rules, run("1.2.0", "main-" + "1" * 32))
    assert rules.loaded(0, "v1") == [Announce()]
    assert rules.loaded(0, "v1") == []
    rules.cached = ("v1", "v2")
    heartbeat = rules.heartbeat()
    assert (heartbeat.running, heartbeat.staged) == (("1.1.0",), ("1.2.0",))
    assert (heartbeat.loaded, heartbeat.cached, heartbeat.draining) == (("v1",), ("v1", "v2"), False)
    assert (heartbeat.cached_digest, heartbeat.usable) == (cached_digest(("v1", "v2")), -1)


def test_the_order_to_tell_has_the_next_heartbeat_list_the_versions_at_once(rules: NodeRules) -> None:
    assert rules.take(Tell(NODE, SESSION, POOL, 1)) == [ListVersions(), Announce()]


def test_a_node_that_is_told_to_stay_out_drops_what_it_holds_without_a_word(rules: NodeRules) -> None:
    running(rules, run())
    staged(rules, run("1.2.0", "main-" + "1" * 32))
    assert rules.take(Refuse(NODE, "s0", POOL, 1, "name_taken")) == [], "another session's"
    refused = rules.take(Refuse(NODE, SESSION, POOL, 1, "name_taken"))
    assert refused == [Forget("1.2.0"), Halt(0, "1.1.0"), StayOut("name_taken")]
    assert rules.take(Rejoin(NODE, SESSION, POOL, 1)) == [], (
        "the answer to its first heartbeat, which comes right behind"
    )
    assert rules.halted("1.1.0") == [Forget("1.1.0")]


def test_more_than_a_node_can_hold_is_given_back(rules: NodeRules) -> None:
    taken = [rules.take(run(f"1.{n}.0", f"main-{n:032d}")) for n in range(30)]
    assert [FetchSupplies in map(type, actions) for actions in taken] == [True] * 20 + [False] * 10
    assert taken[-1] == [Say(Stopped(f"main-{29:032d}", "1.29.0", "unclaimed"))]
