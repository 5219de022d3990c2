"""What verify finds where nodes had to be set aside and were not: ledgers of schedulers from which a rule was taken.

Each ledger is made by the production code with one of its rules patched out, and is judged by the second book alone.
With the rule in place the book finds nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from audit.verify.second_book import SecondBook
from contract.events import Event, NodeCordoned, NodeDrained, Opened
from contract.inputs import (
    ClusterDrainRequested,
    Failed,
    HoldRequested,
    NodeCordonRequested,
    NodeHeartbeat,
    NodeUncordonRequested,
    ReleaseRequested,
    Requirements,
    Started,
    WithdrawRequested,
)
from scheduling import plan
from scheduling.attempts import reports, retries
from scheduling.state import avoidance, capacity, cordons
from tests.unit.audit.ledger import Ledger, job_of
from tests.unit.audit.verdicts import verified
from tests.unit.scheduling.dispatched import roomy, with_east
from tests.unit.scheduling.specification import CPU, Pool, a_job, a_join, only, submission

Patch = pytest.MonkeyPatch


def pool_of(*nodes: str, cluster: str = "east") -> Pool:
    pool = Pool(msgspec.structs.replace(with_east(100, 0), failures_max=9), check=False)
    pool.publish()
    for node in nodes:
        pool.join(node, cluster)
    return pool


def found(pool: Pool) -> list[tuple[str, str]]:
    """What the second book says of the pool's ledger, each thing once."""
    book = SecondBook()
    said = [finding for offset, batch in enumerate(pool.batches) for finding in book.take(offset, batch)]
    return list(dict.fromkeys((finding.invariant, finding.text) for finding in said))


def went(pool: Pool, event: Event, **changes: object) -> None:
    """Another event stands in the ledger in place of this one, as a scheduler of other rules would have written."""
    for place, batch in enumerate(pool.batches):
        events = tuple(msgspec.structs.replace(e, **changes) if e is event else e for e in batch.events)
        pool.batches[place] = msgspec.structs.replace(batch, events=events)


def fail(pool: Pool, number: int, node: str) -> None:
    pool.start(a_job(number), node)
    pool.fail(a_job(number), node=node)


def beats(pool: Pool, times: int = 1) -> None:
    for _ in range(times):
        after_ms = 5_000
        for node in sorted(pool.state.nodes):
            pool.beat(node, after_ms=after_ms)
            after_ms = 0


# -- a job avoids the node on which it failed ----------------------------------------------------------------------


def failed_beside_a_busy_node() -> Pool:
    """Job 1 failed on n1, which is free again; job 2 runs on n2, which fits as well."""
    pool = pool_of("n1", "n2")
    pool.tell(submission(1))
    pool.tell(submission(2), after_ms=1)
    pool.start(a_job(2), "n2")
    fail(pool, 1, "n1")
    beats(pool)
    return pool


def goes_back(patch: Patch) -> None:
    patch.setattr(avoidance, "must_stand_aside", lambda state, job: False)
    patch.setattr(avoidance, "banned", lambda state, job, group: 0)


def test_a_job_that_waits_for_another_node_is_right() -> None:
    assert found(failed_beside_a_busy_node()) == []


def test_a_job_that_goes_back_where_it_failed_is_found(monkeypatch: Patch) -> None:
    goes_back(monkeypatch)
    assert found(failed_beside_a_busy_node()) == [("I11", "sent to n1, where it failed, and n2 could run it")]


def test_schedulers_of_earlier_rules_avoided_nothing(monkeypatch: Patch) -> None:
    goes_back(monkeypatch)
    pool = failed_beside_a_busy_node()
    opened = pool.batches[0].events[0]
    assert isinstance(opened, Opened)
    went(pool, opened, rules=3)
    assert found(pool) == []


def _drains(pool: Pool) -> None:
    pool.tell(NodeHeartbeat("n2", "s1", draining=True))


def _has_no_slot(pool: Pool) -> None:
    pool.tell(NodeHeartbeat("n2", "s1", usable=0))


def _is_cordoned(pool: Pool) -> None:
    pool.tell(NodeCordonRequested("n2"))


def _leaves(pool: Pool) -> None:
    pool.leave("n2")


@pytest.mark.parametrize("other", [_drains, _has_no_slot, _is_cordoned, _leaves])
def test_it_goes_back_rightly_where_no_other_node_could_run_it(other: Callable[[Pool], None]) -> None:
    pool = failed_beside_a_busy_node()
    other(pool)
    beats(pool)
    assert pool.attempt(a_job(1)).node == "n1"
    assert found(pool) == []


@pytest.mark.parametrize(
    "changes",
    [{"chipset": "rocm", "gpus": 2}, {"chipset": "cuda", "gpus": 1}, {"memory_mib": 1_000}, {"cluster": "far"}],
)
def test_a_node_that_does_not_fit_is_no_other_node(changes: dict[str, Any]) -> None:
    pool = pool_of("n1")
    pool.publish(requirements=Requirements(("cpu", "cuda"), 2, 2_000), version="v2", move=2)
    pool.tell(a_join("n2", **changes))
    pool.tell(submission(1))
    fail(pool, 1, "n1")
    beats(pool)
    assert pool.attempt(a_job(1)).node == "n1"
    assert found(pool) == []


def test_a_draining_cluster_has_no_other_node_and_one_that_comes_back_has(monkeypatch: Patch) -> None:
    goes_back(monkeypatch)
    pool = Pool(roomy(), check=False)
    pool.publish()
    pool.join("n1")
    pool.join("n2", "west")
    pool.tell(ClusterDrainRequested("west", 0), submission(1))
    fail(pool, 1, "n1")
    beats(pool)
    assert found(pool) == []
    without = {name: entry for name, entry in roomy().clusters.items() if name != "west"}
    pool.adopt(msgspec.structs.replace(roomy(), clusters=without))
    pool.tell(NodeHeartbeat("n2", "s1", holding="store"))
    fail(pool, 1, "n1")
    beats(pool)
    assert found(pool) == []
    pool.adopt(roomy())
    pool.tell(NodeHeartbeat("n2", "s1", holding="store"))
    fail(pool, 1, "n1")
    for _ in range(4):
        pool.tell(NodeHeartbeat("n1", "s1"), NodeHeartbeat("n2", "s1", holding="store"), after_ms=5_000)
    assert found(pool) == [("I11", "sent to n1, where it failed, and n2 could run it")]


def test_a_job_that_takes_another_version_goes_where_that_one_fits() -> None:
    pool = Pool(msgspec.structs.replace(with_east(100, 0), failures_max=9), check=False)
    old = pool.publish(requirements=Requirements(("cpu", "cuda"), 0))
    pool.join("n1")
    pool.join("n2", chipset="cuda")
    pool.tell(submission(1))
    pool.tell(NodeHeartbeat("n2", "s1", holding="store"))
    fail(pool, 1, "n1")
    pool.publish(requirements=CPU, version="v2", move=2)
    pool.tell(WithdrawRequested("shapes", old))
    pool.tell(NodeHeartbeat("n1", "s1"), after_ms=5_000)
    assert pool.attempt(a_job(1)).node == "n1"
    assert found(pool) == []


# -- an order is not repeated for ever -----------------------------------------------------------------------------


def deaf(heartbeats: int = 8) -> Pool:
    """n1 is heard and never lists job 1."""
    pool = pool_of("n1")
    pool.tell(submission(1))
    for _ in range(heartbeats):
        pool.tell(NodeHeartbeat("n1", "s1"), after_ms=5_000)
    return pool


def test_a_deaf_node_that_drains_is_right() -> None:
    pool = deaf()
    assert pool.state.nodes["n1"].drained_for == "deaf"
    assert found(pool) == []


def test_a_deaf_node_that_joins_anew_in_the_same_batch_need_not_drain_any_more() -> None:
    pool = deaf(6)
    pool.tell(NodeHeartbeat("n1", "s1"), a_join("n1", session="s2"), after_ms=5_000)
    assert not pool.state.nodes["n1"].draining
    assert found(pool) == []


def test_an_order_that_is_repeated_for_ever_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(reports, "is_deaf_to", lambda state, node, attempt: False)
    pool = deaf()
    dispatch = pool.dispatch(a_job(1))
    assert found(pool) == [
        ("I9", f"n1 does not know of {dispatch} after so many repeats, and it is still open"),
        ("I9", "n1 does not hear its orders and does not drain"),
    ]


def test_a_deaf_node_that_does_not_drain_is_found() -> None:
    pool = deaf()
    drained = next(event for batch in pool.batches for event in only(batch.events, NodeDrained))
    for place, batch in enumerate(pool.batches):
        events = tuple(event for event in batch.events if event is not drained)
        pool.batches[place] = msgspec.structs.replace(batch, events=events)
    assert found(pool) == [("I9", "n1 does not hear its orders and does not drain")]


def test_a_node_that_is_called_deaf_too_early_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(reports, "DEAF_HEARTBEATS", 2)
    monkeypatch.setattr(retries, "policy_of", lambda state: msgspec.structs.replace(state.policy, node_lease_ms=1))
    pool = deaf(4)
    assert [invariant for invariant, _ in found(pool)] == ["I16", "I10"]


def test_a_started_attempt_that_is_forgotten_and_stays_open_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(reports, "MISSED_MAX", 1_000)
    pool = pool_of("n1")
    pool.tell(submission(1))
    pool.start(a_job(1))
    for _ in range(4):
        pool.tell(NodeHeartbeat("n1", "s1"), after_ms=5_000)
    assert [invariant for invariant, _ in found(pool)] == ["I9"]


# -- cordons -------------------------------------------------------------------------------------------------------


def accuse(pool: Pool, node: str, *numbers: int) -> None:
    """Each job fails on the node and then succeeds on n0; every other node holds off meanwhile."""
    for number in numbers:
        off = [NodeHeartbeat(name, "s1", holding="store") for name in sorted(pool.state.nodes) if name != node]
        pool.tell(*off, NodeHeartbeat(node, "s1"), submission(number), after_ms=5_000)
        fail(pool, number, node)
        pool.tell(NodeHeartbeat(node, "s1", holding="store"), NodeHeartbeat("n0", "s1"), after_ms=5_000)
        pool.start(a_job(number), "n0")
        pool.succeed(a_job(number), "n0")
    pool.tell(*(NodeHeartbeat(name, "s1") for name in sorted(pool.state.nodes)))


def accused(*nodes: str) -> Pool:
    pool = pool_of("n0", *nodes)
    for place, node in enumerate(nodes):
        accuse(pool, node, *range(10 * place + 1, 10 * place + 4))
    return pool


def cordons_of(pool: Pool) -> list[str]:
    return [event.node for batch in pool.batches for event in only(batch.events, NodeCordoned)]


def tried(rests_ms: int = 30_000) -> Pool:
    """n1 is cordoned and rests; then job 21 runs on n0, and job 22 may try n1."""
    pool = accused("n1")
    beats(pool, rests_ms // 5_000)
    pool.tell(submission(21))
    pool.tell(submission(22), after_ms=1)
    return pool


def test_a_node_that_is_cordoned_and_tried_after_its_rest_is_right() -> None:
    pool = tried()
    assert cordons_of(pool) == ["n1"]
    assert pool.attempt(a_job(22)).node == "n1"
    fail(pool, 22, "n1")
    pool.tell(submission(23))
    beats(pool, 13)
    assert pool.attempt(a_job(23)).node == "n1", "another 60 s later"
    pool.start(a_job(23), "n1")
    pool.succeed(a_job(23), "n1")
    assert not pool.state.suspects
    assert found(pool) == []


def test_a_cordoned_node_that_gets_work_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(cordons, "_look_again", lambda state, name: None)
    pool = pool_of("n1")
    pool.tell(NodeCordonRequested("n1"), submission(1))
    assert found(pool)[:1] == [("I11", "sent to n1, which is cordoned (operator) and was not free for a try")]


def test_a_second_job_beside_a_try_is_found(monkeypatch: Patch) -> None:
    pool = tried()
    monkeypatch.setattr(cordons, "_look_again", lambda state, name: None)
    with monkeypatch.context() as patch:
        patch.setattr(capacity, "is_cordoned", lambda state, node: False)
        node = pool.state.nodes["n1"]
        node.usable = 2
        group = pool.state.node_attempts["n1"].group
        group.free |= pool.state.node_attempts["n1"].bit
        pool.tell(submission(23))
    assert pool.attempt(a_job(23)).node == "n1"
    assert ("I11", "sent to n1, which is cordoned (failures) and was not free for a try") in found(pool)


def test_a_try_without_a_rest_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(cordons, "rest_ms", lambda state, tries: 0)
    assert found(tried(0)) == [("I11", "sent to n1, which is cordoned and rests for another 29999 ms")]


def test_a_second_try_after_no_longer_rest_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(cordons, "rest_ms", lambda state, tries: 30_000)
    pool = tried()
    fail(pool, 22, "n1")
    pool.tell(submission(23))
    beats(pool, 7)
    assert [(invariant, text[:44]) for invariant, text in found(pool)] == [
        ("I11", "sent to n1, which is cordoned and rests for ")
    ]


def test_more_cordons_than_a_cluster_may_have_are_found(monkeypatch: Patch) -> None:
    clean = accused("n1", "n2")
    assert (cordons_of(clean), found(clean)) == (["n1"], [])
    monkeypatch.setattr(plan, "may_cordon", lambda state, cluster: True)
    assert found(accused("n1", "n2")) == [("I11", "n2 is cordoned beside 1 of 3 nodes")]


def test_a_cordon_with_too_few_accusers_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(cordons, "ACCUSERS", 2)
    pool = pool_of("n0", "n1")
    accuse(pool, "n1", 1, 2)
    assert found(pool) == [("I11", "n1 is cordoned, and 2 jobs accuse it")]


def test_a_failure_on_a_cordoned_node_that_counts_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(reports, "failure_counts", lambda state, job, node: True)
    pool = tried()
    fail(pool, 22, "n1")
    assert found(pool) == [("I4", "a failure on n1 counts")]


def test_a_cordon_that_a_success_does_not_lift_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(reports, "FAILURES", "never")
    pool = tried()
    pool.start(a_job(22), "n1")
    pool.succeed(a_job(22), "n1")
    assert ("I11", "a job succeeded on n1, and n1 is still cordoned") in found(pool)


def test_a_cordon_that_ends_for_no_reason_is_found() -> None:
    pool = pool_of("n1")
    pool.tell(NodeCordonRequested("n1"))
    lifted = pool.tell(NodeUncordonRequested("n1"))[0]
    assert found(pool) == []
    went(pool, lifted, reason="success")
    assert found(pool) == [("I11", "n1 is cordoned no longer, and no job succeeded there")]


# -- a pool on hold ------------------------------------------------------------------------------------------------


def test_a_pool_on_hold_that_dispatches_is_found(monkeypatch: Patch) -> None:
    def told() -> Pool:
        pool = pool_of("n1")
        pool.tell(HoldRequested())
        pool.tell(submission(1))
        pool.tell(ReleaseRequested())
        return pool

    assert found(told()) == []
    monkeypatch.setattr(plan, "starts_jobs", lambda state: True)
    assert found(told()) == [("I6", "dispatched while the pool was on hold")]


# -- the whole verification ----------------------------------------------------------------------------------------


def test_verify_says_it_beside_the_decision_that_differs() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.decide(a_join("n2", session="n2.a"))
    ledger.decide(NodeHeartbeat("n2", "n2.a", holding="store"))
    ledger.submit(1)
    ledger.decide()
    with pytest.MonkeyPatch.context() as patch:
        goes_back(patch)
        dispatch = ledger.dispatch_of(1)
        ledger.report(Started(job_of(1), dispatch))
        ledger.report(Failed(job_of(1), dispatch, "model_error", "ValueError"))
        ledger.decide(passed_ms=10_000)
    assert {finding.invariant for finding in verified(ledger).findings} == {"I7", "I11"}
    assert capacity.is_cordoned(ledger.state, "n1") is False
