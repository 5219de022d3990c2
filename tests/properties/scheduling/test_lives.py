"""Whatever is said to a pool: its invariants hold, every reader agrees, and the picks are those of a naive sort.

`Pool` checks the invariants and folds a second state after every batch by itself.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from math import lcm

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.batch import Batch
from contract.chain import Chain, Counted
from contract.codec import decode_batch, encode
from contract.events import Event, GangReserved, JobAccepted, JobDispatched, JobRefused
from contract.inputs import ClusterActivated, NodeJoined, NodeReport, Started, Succeeded
from contract.lifecycle import TERMINAL, JobState, after
from contract.orders import Kill, Recall, Run
from scheduling import snapshot
from scheduling.attempts import orders
from scheduling.decide import Clock, decide
from scheduling.disciplines.wait_fraction import urgency
from scheduling.evolve import begin, evolve, fold
from scheduling.state.pool import State, initial_state
from tests.properties.scheduling.naive_next import naive_next
from tests.properties.scheduling.worlds import CLASSES, STEPS, Step, live
from tests.unit.scheduling.specification import MANIFEST, POLICY, POOL, Pool

LIVES = settings(max_examples=int(os.environ.get("EXAMPLES", "15")), deadline=None)
"""`EXAMPLES=500 pytest tests/properties/scheduling` looks longer."""


def replay(batches: list[Batch], each: Callable[[State, Event, Batch], None]) -> None:
    """Calls `each(state before, event, batch)` for every event of the ledger."""
    state = initial_state(POOL)
    for batch in batches:
        begin(state, batch.epoch, batch.seq, batch.now_ms, batch.elapsed_ms)
        for event in batch.events:
            each(state, event, batch)
            evolve(state, event)
        state.position = batch.position


@LIVES
@given(STEPS)
def test_invariants_hold_and_readers_agree(steps: list[Step]) -> None:
    live(Pool(), steps)


@LIVES
@given(STEPS)
def test_the_ledger_read_through_its_chain_gives_the_state_and_the_decisions_again(steps: list[Step]) -> None:
    pool = Pool(check=False)
    live(pool, steps)
    chain, folded, decided = Chain(POOL), initial_state(POOL), initial_state(POOL)
    for offset, record in enumerate(pool.records):
        counted = chain.offer(offset, record)
        assert isinstance(counted, Counted)
        batch = counted.batch
        assert encode(decode_batch(record)) == record
        fold(folded, batch, counted.hash, offset)
        if batch.inputs or not any(type(event).__name__ == "Opened" for event in batch.events):
            clock = Clock(batch.epoch, batch.seq, batch.now_ms, batch.elapsed_ms, batch.caught_up)
            assert tuple(decide(decided, batch.inputs, clock).events) == batch.events
            decided = snapshot.decode(snapshot.encode(folded))
        else:
            decided = snapshot.decode(snapshot.encode(folded))
    assert snapshot.encode(folded) == snapshot.encode(pool.state)


@LIVES
@given(STEPS, st.integers(0, 80))
def test_snapshot_and_tail_fold_to_the_same_state(steps: list[Step], cut: int) -> None:
    pool = Pool(check=False)
    live(pool, steps)
    state = initial_state(POOL)
    for place, batch in enumerate(pool.batches):
        if place == cut:
            state = snapshot.decode(snapshot.encode(state))
        fold(state, batch, pool.state.head_hash, pool.state.head_offset)
    assert snapshot.encode(state) == snapshot.encode(pool.state)


@LIVES
@given(STEPS)
def test_every_job_goes_through_its_life_and_ends_once(steps: list[Step]) -> None:
    pool = Pool(check=False)
    live(pool, steps)
    states: dict[str, JobState] = {}
    attempts: Counter[str] = Counter()
    dispatches: Counter[str] = Counter()
    for batch in pool.batches:
        for event in batch.events:
            job = getattr(event, "job", "")
            kind = type(event).__name__
            if not job or kind in ("JobDuplicated", "ErasureOrdered", "JobErased", "InputQuarantined"):
                continue
            if isinstance(event, JobAccepted | JobRefused):
                assert job not in states, "I2: one acceptance"
            states[job] = after(states.get(job, JobState.SUBMITTED), kind)
            if isinstance(event, JobDispatched):
                attempts[job] += 1
                dispatches[event.dispatch] += 1
                assert event.attempt == attempts[job], "I5"
    assert not dispatches or max(dispatches.values()) == 1, "I15"
    for job, state in states.items():
        assert (state in TERMINAL) == (job not in pool.state.jobs)


@LIVES
@given(STEPS)
def test_each_pick_is_that_of_a_naive_sort_and_none_is_left_out(steps: list[Step]) -> None:
    pool = Pool(check=False)
    live(pool, steps)

    def each(state: State, event: Event, batch: Batch) -> None:
        if isinstance(event, GangReserved):
            assert naive_next(state) == ("keep", event.job), "I11"
        elif isinstance(event, JobDispatched):
            how, job = naive_next(state)
            assert event.job == job, "I11"
            assert (how == "reserved") == (event.reason == "reserved")
            cluster = state.clusters[event.cluster]
            assert len(cluster.staged) < cluster.limit == event.limit, "I3"
            assert event.staged == len(cluster.staged) + 1

    replay(pool.batches, each)
    assert naive_next(pool.state) == ("", ""), "what could go, went"


@LIVES
@given(STEPS)
def test_nobody_waits_for_an_order_after_a_takeover(steps: list[Step]) -> None:
    """Every attempt that has not started, and every attempt that must stop, is owed exactly one order on each of its
    nodes. Only the node of rank 0 says that a gang has started."""
    pool = Pool(check=False)
    live(pool, steps)
    pool.take_over()
    owed = {
        (job.open.dispatch, node)
        for job in pool.state.jobs.values()
        if job.open is not None
        for node in {job.open.node, *(member.node for member in job.open.members)}
        if not job.open.started or job.open.stop or node != job.open.node
    }
    sent = []
    for order in orders.standing_orders(pool.state):
        assert isinstance(order, Run | Kill | Recall)
        sent.append((order.dispatch, order.node))
    assert sorted(sent) == sorted(owed)


@LIVES
@given(STEPS)
def test_every_job_ends_once_faults_stop(steps: list[Step]) -> None:
    """I9: when nodes of every kind answer, clusters take work and no alias is on a withdrawn version, no job is left
    behind."""
    pool = Pool(check=False)
    live(pool, steps)
    for place, requirements in enumerate(CLASSES):
        pool.publish(f"model{place}", requirements, "spare", move=99)
    pool.adopt(POLICY)
    pool.tell(ClusterActivated("east"), ClusterActivated("west"))
    for place, (cluster, chipset) in enumerate((("east", "cpu"), ("west", "cuda"))):
        pool.tell(NodeJoined(f"good{place}", "s", cluster, chipset, 4, 8, 99_000))
    for _ in range(120):
        if not pool.state.jobs:
            return
        said = []
        for node in ("good0", "good1"):
            for job, attempt in sorted(pool.state.node_attempts.get(node, {}).items()):
                start = () if attempt.started else (Started(job, attempt.dispatch),)
                said.append(NodeReport(node, attempt.session, (*start, Succeeded(job, attempt.dispatch, MANIFEST))))
        pool.tell(*said, after_ms=3_000)
        for node in ("good0", "good1"):
            pool.beat(node, pool.state.nodes[node].session)
    raise AssertionError(f"jobs that never end: {sorted(pool.state.jobs)}")


fractions = st.tuples(st.integers(0, 10**18), st.sampled_from((1, 3, 7, 1_000, 86_400_000, 86_399_999)))


@given(fractions, fractions, st.integers(1, 9))
def test_urgency_compares_as_fractions_do(a: tuple[int, int], b: tuple[int, int], times: int) -> None:
    common_ms = times * lcm(a[1], b[1])
    left, right = (urgency(waited_ms, slo_ms, common_ms) for waited_ms, slo_ms in (a, b))
    assert (left > right) == (Fraction(*a) > Fraction(*b)) == (a[0] * b[1] > b[0] * a[1])
    assert (left == right) == (Fraction(*a) == Fraction(*b))
