"""A node is cordoned on which jobs failed that succeeded elsewhere (case C5)."""

from __future__ import annotations

import msgspec
import pytest

from contract.events import (
    AttemptFailed,
    JobDeadLettered,
    JobDispatched,
    JobRequeued,
    NodeCordoned,
    NodeUncordoned,
    RecallOrdered,
    ReportStale,
)
from contract.inputs import (
    NodeCordonRequested,
    NodeHeartbeat,
    NodeUncordonRequested,
)
from scheduling import snapshot
from scheduling.state import cordons
from tests.unit.scheduling.dispatched import picked
from tests.unit.scheduling.failing_nodes import PAIR, beats, fail_on, pool_of, queue, where
from tests.unit.scheduling.specification import Pool, a_job, only, submission


def accuse(pool: Pool, *numbers: int) -> None:
    """Each job fails on n1 and then succeeds on n2, which was busy until then."""
    for number in numbers:
        pool.tell(NodeHeartbeat("n2", "s1", holding="store"), submission(number))
        fail_on(pool, number, "n1")
        pool.tell(NodeHeartbeat("n1", "s1", holding="store"), NodeHeartbeat("n2", "s1"), after_ms=5_000)
        assert pool.attempt(a_job(number)).node == "n2"
        pool.start(a_job(number), "n2")
        pool.succeed(a_job(number), "n2")
        pool.tell(NodeHeartbeat("n1", "s1"))


def cordoned() -> Pool:
    pool = pool_of("n1", "n2")
    accuse(pool, 1, 2, 3)
    assert pool.state.suspects["n1"].cordoned
    return pool


def rested(ms: int = 30_000) -> Pool:
    pool = cordoned()
    for _ in range(ms // 5_000):
        beats(pool)
    return pool


def test_three_jobs_that_failed_there_and_succeeded_elsewhere_cordon_a_node() -> None:
    pool = pool_of("n1", "n2")
    accuse(pool, 1, 2)
    assert not pool.state.suspects["n1"].cordoned
    accuse(pool, 3)
    found = [event for batch in pool.batches for event in batch.events if isinstance(event, NodeCordoned)]
    assert found == [NodeCordoned("n1", "east", "failures", (a_job(1), a_job(2), a_job(3)))]
    queue(pool, 4, 5)
    assert (where(pool, 4), where(pool, 5)) == ("n2", "")


def test_a_success_in_between_closes_the_case() -> None:
    pool = pool_of("n1", "n2")
    accuse(pool, 1, 2)
    pool.tell(NodeHeartbeat("n2", "s1", holding="store"))
    queue(pool, 9)
    pool.start(a_job(9))
    pool.succeed(a_job(9))
    accuse(pool, 3)
    assert pool.state.suspects["n1"].jobs == (a_job(3),)


def test_a_failure_before_the_success_accuses_nobody_after_it() -> None:
    pool = pool_of("n1", "n2")
    pool.tell(NodeHeartbeat("n2", "s1", holding="store"), submission(1))
    fail_on(pool, 1, "n1")
    pool.tell(submission(2))
    pool.start(a_job(2))
    pool.succeed(a_job(2))
    pool.tell(NodeHeartbeat("n2", "s1"), after_ms=5_000)
    pool.start(a_job(1), "n2")
    pool.succeed(a_job(1), "n2")
    assert pool.state.suspects == {}


def test_a_node_that_was_lost_under_jobs_is_not_accused() -> None:
    """Its power may have failed once (decision 0027)."""
    pool = pool_of("n1", "n2")
    for number in (1, 2, 3):
        pool.tell(NodeHeartbeat("n2", "s1", holding="store"), submission(number))
        pool.start(a_job(number), "n1", f"s{number}")
        pool.tell(NodeHeartbeat("n2", "s1"), after_ms=1)
        pool.join("n1", session=f"s{number + 1}")
        beats(pool)
        pool.start(a_job(number), "n2")
        pool.succeed(a_job(number), "n2")
    assert "n1" not in pool.state.suspects


def test_nor_in_a_case_that_was_opened_after_the_success() -> None:
    pool = pool_of("n1", "n2")
    pool.tell(NodeHeartbeat("n2", "s1", holding="store"), submission(1))
    fail_on(pool, 1, "n1")
    pool.tell(submission(2))
    pool.start(a_job(2))
    pool.succeed(a_job(2))
    pool.tell(submission(3))
    fail_on(pool, 3, "n1")
    pool.tell(NodeHeartbeat("n2", "s1"), after_ms=5_000)
    for number, accusers in ((1, ()), (3, (a_job(3),))):
        pool.start(a_job(number), "n2")
        pool.succeed(a_job(number), "n2")
        assert pool.state.suspects["n1"].jobs == accusers


def test_no_more_than_a_quarter_of_a_cluster_is_cordoned() -> None:
    pool = cordoned()
    pool.leave("n1")
    pool.join("n1", session="s2")
    pool.join("n3")
    pool.state.suspects["n2"] = msgspec.structs.replace(pool.state.suspects["n1"], cordoned="", case=2)
    pool.state.cases = pool.reader.cases = 9
    pool.reader.suspects["n2"] = msgspec.structs.replace(pool.state.suspects["n2"])
    for number in range(4, 8):
        assert only(pool.join(f"n{number}"), NodeCordoned) == []
    assert only(pool.join("n8"), NodeCordoned) == [
        NodeCordoned("n2", "east", "failures", (a_job(1), a_job(2), a_job(3)))
    ]


def test_what_is_staged_there_is_called_back_and_what_runs_there_goes_on() -> None:
    pool = pool_of("n1", "n2", staged_per_slot=1)
    accuse(pool, 1, 2)
    pool.tell(NodeHeartbeat("n2", "s1", holding="store"))
    queue(pool, 3)
    fail_on(pool, 3, "n1")
    pool.tell(NodeHeartbeat("n1", "s1", holding="store"), NodeHeartbeat("n2", "s1"), after_ms=5_000)
    pool.start(a_job(3), "n2")
    pool.beat("n1")
    queue(pool, 4, 5)
    pool.start(a_job(4))
    queue(pool, 6)
    there = [number for number in (5, 6) if where(pool, number) == "n1"]
    assert len(there) == 1
    events = pool.succeed(a_job(3), "n2")
    assert only(events, NodeCordoned)
    assert [(order.job, order.reason) for order in only(events, RecallOrdered)] == [(a_job(there[0]), "cordon")]
    assert where(pool, 4) == "n1"


def test_a_cordoned_node_gets_one_job_at_a_time_after_a_rest() -> None:
    pool = cordoned()
    for _ in range(5):
        beats(pool)
        assert not pool.state.node_attempts["n1"]
    queue(pool, 4, 5, 6)
    assert [where(pool, number) for number in (4, 5, 6)] == ["n2", "", ""], "n1 rests"
    beats(pool)
    assert [where(pool, number) for number in (4, 5, 6)] == ["n2", "n1", ""]


def test_a_try_that_fails_is_held_against_nobody_and_the_next_one_comes_later() -> None:
    pool = rested()
    queue(pool, 4, 5, 6)
    job = a_job(5)
    pool.start(job, "n1")
    events = pool.fail(job, "bad_inputs", node="n1")
    assert [event.counts for event in only(events, AttemptFailed)] == [False]
    assert only(events, JobRequeued), "not even what no retry could mend is held against it"
    assert (pool.job(job).failures, pool.job(job).spared) == (0, 1)
    assert pool.state.suspects["n1"].jobs == (a_job(1), a_job(2), a_job(3))
    for _ in range(11):
        beats(pool)
        assert not pool.state.node_attempts["n1"]
    beats(pool)
    assert where(pool, 6) == "n1", "60 s after the try, and job 5 does not go there again"


def test_a_job_that_fails_on_the_same_cordoned_node_again_pays_for_it() -> None:
    """Else a job that fails everywhere would never end, where only cordoned nodes are left (I9)."""
    pool = rested()
    pool.leave("n2")
    queue(pool, 4)
    fail_on(pool, 4, "n1")
    assert (pool.job(a_job(4)).failures, pool.job(a_job(4)).spared) == (0, 1)
    for _ in range(12):
        beats(pool)
    fail_on(pool, 4, "n1")
    assert (pool.job(a_job(4)).failures, pool.job(a_job(4)).spared) == (1, 1)


def test_a_gang_that_fits_nowhere_else_lifts_the_cordons() -> None:
    pool = cordoned()
    pool.publish("pair", PAIR)
    for node in ("n1", "n2"):
        pool.join(node, session="s2", address=f"{node}.lan:20000")
    events = pool.tell(submission(4, model="pair"))
    assert only(events, NodeUncordoned) == [NodeUncordoned("n1", "needed")]
    beats(pool)
    assert where(pool, 4)


def test_a_cordoned_node_that_is_lost_under_a_try_counts_as_any_other() -> None:
    """Nobody reported anything, so nothing was made up; and the job may be what ended the node (decision 0027)."""
    pool = rested()
    queue(pool, 4, 5)
    pool.start(a_job(5), "n1")
    while "n1" in pool.state.nodes:
        pool.beat("n2", after_ms=5_000)
    job = pool.job(a_job(5))
    assert (job.failures, job.spared, len(job.losses)) == (1, 0, 1)
    assert [avoided.node for avoided in job.avoid] == ["n1"]


def test_a_success_lifts_the_cordon() -> None:
    pool = rested()
    queue(pool, 4, 5)
    pool.start(a_job(5), "n1")
    events = pool.succeed(a_job(5), "n1")
    assert only(events, NodeUncordoned) == [NodeUncordoned("n1", "success")]
    assert pool.state.suspects == {}


def test_a_cordon_outlives_the_session_and_the_snapshot() -> None:
    pool = cordoned()
    pool.leave("n1")
    pool.state = snapshot.decode(snapshot.encode(pool.state))
    pool.join("n1", session="s2")
    queue(pool, 4, 5)
    assert (where(pool, 4), where(pool, 5)) == ("n2", "")


def test_an_operator_cordons_and_nobody_tries_the_node_until_an_operator_lifts_it() -> None:
    pool = pool_of("n1")
    assert pool.tell(NodeCordonRequested("n1")) == [NodeCordoned("n1", "east", "operator")]
    assert pool.tell(NodeCordonRequested("n1")) == [ReportStale("NodeCordonRequested")]
    pool.tell(submission(1))
    for _ in range(20):
        beats(pool)
    pool.tell(NodeHeartbeat("n1", "s1", holding="store"))
    pool.tell(NodeHeartbeat("n1", "s1"))
    assert pool.job(a_job(1)).open is None, "nor when the node is looked at again after its rest"
    assert only(pool.tell(NodeUncordonRequested("n1")), NodeUncordoned) == [NodeUncordoned("n1", "operator")]
    assert picked(pool) == [a_job(1)]
    assert pool.tell(NodeUncordonRequested("n1")) == [ReportStale("NodeUncordonRequested")]


@pytest.mark.parametrize("node", ["n9", "gone"])
def test_only_a_node_that_was_ever_there_is_cordoned(node: str) -> None:
    pool = pool_of("gone")
    pool.leave("gone")
    events = pool.tell(NodeCordonRequested(node))
    assert events == (
        [NodeCordoned("gone", "east", "operator")] if node == "gone" else [ReportStale("NodeCordonRequested")]
    )


def test_a_job_that_fails_everywhere_ends_and_accuses_nobody() -> None:
    pool = pool_of("n1", "n2", "n3")
    pool.tell(submission(1))
    for node in ("n1", "n2", "n3"):
        fail_on(pool, 1, node)
        for _ in range(3):
            beats(pool)
    assert a_job(1) not in pool.state.jobs
    assert any(isinstance(event, JobDeadLettered) for batch in pool.batches for event in batch.events)
    assert all(suspect.jobs == () for suspect in pool.state.suspects.values())


def test_a_job_whose_only_node_is_cordoned_fails_there_once_for_nothing_and_then_it_counts() -> None:
    pool = rested()
    pool.leave("n2")
    pool.tell(submission(4))
    spared = []
    for _ in range(200):
        if a_job(4) not in pool.state.jobs:
            break
        if pool.job(a_job(4)).open is not None:
            pool.start(a_job(4), "n1")
            spared += [event.counts for event in only(pool.fail(a_job(4), node="n1"), AttemptFailed)]
        beats(pool, after_ms=9_000)
    assert spared == [False, True, True, True]


def test_a_gang_that_fits_nowhere_else_lifts_a_cordon() -> None:
    pool = cordoned()
    pool.publish("pair", PAIR)
    for node in ("n1", "n2"):
        pool.leave(node)
        pool.join(node, session="s2", address=f"{node}:29500")
    events = pool.tell(submission(4, model="pair"))
    events += pool.tick(0)
    assert only(events, NodeUncordoned) == [NodeUncordoned("n1", "needed")]
    assert only(events, JobDispatched)


def test_what_is_held_against_nodes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cordons, "SUSPECTS_KEPT", 2)
    pool = pool_of("n1")
    for number in range(1, 5):
        node = f"n{number}"
        queue(pool, number)
        fail_on(pool, number, node)
        pool.cancel(a_job(number))
        pool.join(f"n{number + 1}")
        pool.leave(node)
    assert list(pool.state.suspects) == ["n3", "n4"]
