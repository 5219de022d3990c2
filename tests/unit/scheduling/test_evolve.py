"""State is written by events alone, is bounded, and refuses what the lifecycle does not allow."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator

import msgspec
import pytest

from contract.batch import IDS_FORGOTTEN_MAX
from contract.durations import DAY_MS
from contract.events import (
    AttemptStarted,
    Event,
    JobCancelled,
    JobDispatched,
    JobRequeued,
    JobSucceeded,
    NodeAdmitted,
    NodeLost,
)
from contract.inputs import Submission
from contract.lifecycle import IllegalTransition
from scheduling import evolve, snapshot
from scheduling.decide import Clock, evolving, open_pool
from scheduling.judge import judge
from scheduling.state import ended_ids, lines, node_events, sharing
from scheduling.state.pool import State, initial_state
from tests.unit.scheduling.specification import CUDA, Pool, a_job, only, submission

JOB = a_job(1)


@pytest.mark.parametrize(
    "event",
    [AttemptStarted(JOB, "1.0.0"), JobSucceeded(JOB, "1.0.0", "m")],
)
def test_an_event_that_may_not_happen_now_is_refused(event: Event) -> None:
    pool = Pool()
    pool.publish()
    pool.tell(submission(1))
    with pytest.raises(IllegalTransition, match=f"{type(event).__name__} in state queued; expected one of"):
        evolve.evolve(pool.state, event)


def test_each_event_is_evolved_before_the_next_is_asked_for() -> None:
    pool = Pool()
    pool.publish()
    pool.tell(submission(1), submission(2))
    queued = []

    def ending() -> Iterator[Event]:
        for job in list(pool.state.jobs):
            queued.append(len(pool.state.jobs))
            yield JobCancelled(job, "cancel")

    ends = evolving(pool.state, ending())
    next(ends)
    assert len(pool.state.jobs) == 1
    assert list(ends) == [JobCancelled(a_job(2), "cancel")]
    assert queued == [2, 1]


def test_an_event_of_a_job_that_is_not_there_is_refused() -> None:
    with pytest.raises(KeyError):
        evolve.evolve(initial_state("main"), JobRequeued(JOB, 0))


def test_a_newcomer_must_have_read_to_the_end() -> None:
    state = Pool().state
    with pytest.raises(ValueError, match="expected a clock with epoch 2 and seq 2, found 2 and 9"):
        open_pool(state, "s", "r", Clock(2, 9, 0, 0, False))
    before = snapshot.encode(state)
    open_pool(state, "s", "r", Clock(2, 2, 0, 0, False))
    assert snapshot.encode(state) == before, "it has not been seen to count"


def test_ids_that_ended_are_forgotten_a_bounded_number_at_a_time() -> None:
    pool = Pool(check=False)
    for number in range(IDS_FORGOTTEN_MAX + 500):
        ended_ids.remember(pool.state, f"job{number}", "acme")
    pool.tick(4 * DAY_MS, lease_ms=0)
    assert len(pool.state.ended) == 500
    assert next(iter(pool.state.ended)) == f"job{IDS_FORGOTTEN_MAX}", "the oldest went first"
    pool.tick(0)
    assert not pool.state.ended
    assert not pool.state.ended_runs


def churn(state: State, nodes: int, sessions: int) -> None:
    for number in range(nodes):
        for session in range(sessions):
            evolve.evolve(state, NodeAdmitted(f"n{number:05}", f"s{session}", "east", "cpu", 1, 0, 1, ()))
            evolve.evolve(state, NodeLost(f"n{number:05}", f"s{session}"))


def test_nodes_that_are_gone_and_their_losses_are_remembered_within_bounds() -> None:
    state = initial_state("main")
    churn(state, node_events.PAST_NODES_KEPT + 5, 1)
    churn(state, 1, 9)
    assert len(state.past) == node_events.PAST_NODES_KEPT
    assert len(state.past["n00000"].sessions) == node_events.PAST_SESSIONS_KEPT
    assert len(state.losses["east"]) == node_events.LOSSES_KEPT


def test_a_queued_job_costs_well_under_two_kilobytes() -> None:
    pool = Pool(check=False)
    pool.publish()
    bodies = [submission(number, digest=f"sha256:{number:064x}") for number in range(500)]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for body in bodies:
            for event in _judged(pool, body):
                evolve.evolve(pool.state, event)
        each = (tracemalloc.get_traced_memory()[0] - before) / len(bodies)
    finally:
        tracemalloc.stop()
    assert len(pool.state.jobs) == 500
    assert each < 1_000


def _judged(pool: Pool, body: Submission) -> list[Event]:
    return list(judge(pool.state, pool._input(body)))


def test_a_pick_looks_at_the_heads_of_lines_and_not_at_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(check=False)
    pool.publish()
    pool.publish("big", CUDA)
    for number in range(0, 1_500, 500):
        pool.tell(
            *(submission(n, ("api", "free")[n % 2], ("shapes", "big")[n % 3 == 0]) for n in range(number, number + 500))
        )
    looks = []

    def looked(original: Callable[..., object]) -> Callable[..., object]:
        def look(*arguments: object) -> object:
            looks.append(1)
            return original(*arguments)

        return look

    for module, name in ((sharing, "turn"), (lines, "entry_of")):
        monkeypatch.setattr(module, name, looked(getattr(module, name)))
    pool.reader = State("main")
    monkeypatch.setattr("tests.unit.scheduling.specification.fold", lambda *a: None)
    pool.join("n1", slots=2)
    assert len(only(pool.events, JobDispatched)) == 3
    assert len(looks) <= 9


def test_a_job_that_is_not_first_leaves_its_line_and_comes_back_to_its_place() -> None:
    pool = Pool(check=False)
    pool.publish()
    pool.tell(*(submission(number) for number in range(9)))
    for job in [pool.state.jobs[a_job(number)] for number in range(9)]:
        line = lines.line_of(pool.state, job.version, job.tier)
        before = line.entries[line.start :]
        lines.leave(pool.state, job)
        assert line.entries[line.start :] == [entry for entry in before if entry[1] != job.job]
        lines.enter(pool.state, job)
        assert line.entries[line.start :] == before
    with pytest.raises(ValueError, match="expected job nowhere in its line"):
        lines.leave(pool.state, msgspec.structs.replace(job, job="nowhere"))
