"""A state as bytes and back, and the invariants that every test of this folder checks after each batch."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from contract.inputs import CancelRequested, ClusterDrainRequested
from contract.lifecycle import JobState
from scheduling import invariants, snapshot
from scheduling.evolve import fold
from scheduling.state import sharing
from scheduling.state.jobs import Job
from scheduling.state.nodes import NodeLoad
from scheduling.state.pool import Line, State, TenantQueue, initial_state
from tests.unit.scheduling.specification import CUDA, Pool, open_attempt, submission


def busy() -> Pool:
    """A pool with a bit of everything."""
    pool = Pool()
    pool.publish()
    pool.publish("big", CUDA)
    pool.join("n1", slots=2)
    pool.join("n2", "west")
    pool.tell(*(submission(number) for number in range(8)), submission(9, "api", "big"))
    pool.tell(*(submission(number, expires_ms=pool.now_ms + 500_000) for number in (10, 11, 12)))
    first, second, third = sorted(job for job, known in pool.state.jobs.items() if known.open is not None)[:3]
    for job in (first, second, third):
        pool.start(job, pool.attempt(job).node)
    waiting = min(job for job, known in pool.state.jobs.items() if known.open is None)
    pool.tell(CancelRequested(first), CancelRequested(waiting))
    pool.fail(second, node=pool.attempt(second).node)
    pool.tell(ClusterDrainRequested("west", 0))
    pool.join("n3")
    pool.leave("n3")
    pool.beat(session="gone")
    pool.tell(submission(13, tenant="globex"))
    return pool


def test_a_state_survives_the_round_trip_exactly() -> None:
    pool = busy()
    again = snapshot.decode(snapshot.encode(pool.state))
    assert snapshot.encode(again) == snapshot.encode(pool.state)
    assert snapshot.state_hash(again) == snapshot.state_hash(pool.state)
    assert invariants.check(again) == []
    assert (again.head_hash, again.head_offset, again.seq, again.epoch, again.position) == (
        pool.state.head_hash,
        pool.state.head_offset,
        pool.state.seq,
        pool.state.epoch,
        pool.state.position,
    )


def test_the_snapshot_of_an_empty_pool() -> None:
    assert snapshot.state_hash(snapshot.decode(snapshot.encode(initial_state("main")))) == snapshot.state_hash(
        initial_state("main")
    )


def test_a_snapshot_taken_anywhere_and_the_tail_fold_to_the_same_state() -> None:
    pool = busy()
    pool.beat(after_ms=10_000)
    pool.tick(40_000)
    state = initial_state("main")
    for place, batch in enumerate(pool.batches):
        tail = snapshot.decode(snapshot.encode(state))
        for later in range(place, len(pool.batches)):
            fold(tail, pool.batches[later], "f" * 64, later)
        tail.head_hash = pool.state.head_hash
        assert snapshot.encode(tail) == snapshot.encode(pool.state), f"snapshot before record {place}"
        fold(state, batch, "f" * 64, place)


def test_a_decoded_state_decides_the_same() -> None:
    pool = busy()
    again = Pool.__new__(Pool)
    again.__dict__.update(pool.__dict__)
    again.state = snapshot.decode(snapshot.encode(pool.state))
    again.reader = snapshot.decode(snapshot.encode(pool.state))
    again.batches, again.records = list(pool.batches), list(pool.records)
    steps: tuple[Callable[[Pool], object], ...] = (
        lambda p: p.join("n9", slots=3),
        lambda p: p.tick(5_000),
        lambda p: p.tick(31_000),
    )
    for step in steps:
        step(pool)
        step(again)
        assert pool.records[-1] == again.records[-1]


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'{"type":"Snapshot.v1","format":99}'])
def test_other_bytes_are_no_snapshot(data: bytes) -> None:
    with pytest.raises(snapshot.SnapshotUnreadable, match="expected a snapshot"):
        snapshot.decode(data)


def test_a_snapshot_of_another_format_says_so() -> None:
    other = snapshot.FORMAT + 1
    data = snapshot.encode(initial_state("main")).replace(b'"format":%d' % snapshot.FORMAT, b'"format":%d' % other)
    with pytest.raises(snapshot.SnapshotUnreadable, match=f"expected snapshot format {snapshot.FORMAT}, found {other}"):
        snapshot.decode(data)


def an_open(state: State) -> Job:
    return next(job for _, job in sorted(state.jobs.items()) if job.state is JobState.STARTED)


def a_queued(state: State) -> Job:
    """A job that waits in its line because it never failed."""
    jobs = [job for _, job in sorted(state.jobs.items()) if job.state is JobState.QUEUED]
    return next(job for job in jobs if job.model == "shapes" and job.failures == 0)


def a_cancelled(state: State) -> Job:
    return next(job for _, job in sorted(state.jobs.items()) if job.state is JobState.CANCELLING)


def some_line(state: State) -> Line:
    job = a_queued(state)
    return state.lines[job.version, job.tier]


def a_tenants_queue(state: State) -> TenantQueue:
    return some_line(state).tenants["acme"]


def empty_groups(state: State) -> None:
    for needs in state.classes.values():
        needs.groups.clear()


def forget_whose_turn(line: Line) -> None:
    _, turn = sharing.turn(line)
    line.level = [entry for entry in line.level if entry[1] != turn]
    line.ahead = [entry for entry in line.ahead if entry[2] != turn]


DEFECTS: dict[str, Callable[[State], object]] = {
    "has ended and has not": lambda s: s.ended.update({an_open(s).job: "acme"}),
    "their runs count": lambda s: s.ended_runs.append((0, 1)),
    "still kept": lambda s: setattr(a_queued(s), "state", JobState.SUCCEEDED),
    "without an open attempt": lambda s: setattr(a_queued(s), "state", JobState.STARTED),
    "nothing followed": lambda s: setattr(a_queued(s), "eligible_lease_ms", -1),
    "I4": lambda s: setattr(an_open(s), "failures", 9),
    "ends because of": lambda s: setattr(a_queued(s), "ending", "cancel"),
    "I5": lambda s: setattr(an_open(s).open, "attempt", 9),
    "not started": lambda s: setattr(an_open(s).open, "started", False),
    "nobody told": lambda s: setattr(a_cancelled(s).open, "stop", ""),
    "is over": lambda s: setattr(an_open(s).open, "session", "s9"),
    "of a record to come": lambda s: setattr(an_open(s).open, "dispatch", "9.999.0"),
    "open 2 times": lambda s: setattr(an_open(s).open, "dispatch", open_attempt(a_cancelled(s)).dispatch),
    "open attempts, there are": lambda s: s.clusters["east"].open.popitem(),
    "in flight, there are": lambda s: s.clusters["east"].staged.update({"x": open_attempt(an_open(s))}),
    "slots, there are": lambda s: setattr(s.clusters["east"], "slots", 9),
    "the policy says": lambda s: setattr(s.clusters["east"], "limit", 9),
    "not those of the jobs": lambda s: s.node_attempts["n1"].popitem(),
    "not of the same nodes": lambda s: s.node_attempts.update(ghost=NodeLoad()),
    "each in one group": lambda s: next(iter(s.groups.values())).ids.append("zz"),
    "have room": lambda s: setattr(next(iter(s.groups.values())), "free", 255),
    "have loaded": lambda s: next(iter(s.groups.values())).loaded.update({"x": 1}),
    "fits Requirements": empty_groups,
    "has 5 jobs, or another order, there are 4": lambda s: some_line(s).entries.append((0, "ghost")),
    "has 4 jobs, or another order, there are 4": lambda s: some_line(s).entries.reverse(),
    "are not of its jobs": lambda s: a_tenants_queue(s).entries.reverse(),
    "counts other jobs of its tenants": lambda s: setattr(a_tenants_queue(s).share, "waiting", 9),
    "not above virtual time": lambda s: s.fair.tags.update({"free": 0}),
    "another tenant's turn": lambda s: forget_whose_turn(some_line(s)),
    "will not be woken": lambda s: s.resting.clear(),
    "nobody watches": lambda s: s.deadlines.clear(),
    "whose passing nobody notices": lambda s: s.forecasts.clear(),
    "begins with a job that has ended": lambda s: s.deadlines.insert(0, (0, "ghost")),
}


@pytest.mark.parametrize("words", DEFECTS)
def test_each_invariant_finds_its_defect(words: str) -> None:
    state = snapshot.decode(snapshot.encode(busy().state))
    assert invariants.check(state) == []
    DEFECTS[words](state)
    assert any(words in fault for fault in invariants.check(state)), invariants.check(state)
