"""The scheduler's process on a real broker: what must hold whatever Faust's offsets say and whoever else writes."""

from __future__ import annotations

import uuid
from base64 import b64decode

import pytest
from confluent_kafka import Producer as TransactionalProducer

from contract.batch import Batch
from contract.codec import encode
from contract.events import AttemptStarted, InputQuarantined, JobAccepted, JobDuplicated, JobSucceeded
from contract.topics import JOBS, LEDGER
from runtime.kafka import Producer, offsets
from runtime.object_store import ObjectStore
from runtime.snapshots import first_usable, names_of
from scheduling import snapshot
from scheduling.state.pool import State
from tests.integration.streams.pool import WORDS, Pool, commit
from tests.integration.streams.processes import Processes
from tests.waiting import until

BYTES_MAX = 2**26
"""More than any object here has."""


def group_of(pool: Pool) -> str:
    return f"scheduler-{pool.name}-{uuid.uuid4().hex[:6]}"


def _newest(pool: Pool) -> State | None:
    """What the scheduler stored last, whoever believes it."""
    store = ObjectStore(pool.settings)
    found = first_usable(store, reversed(names_of(store, pool.name)), snapshot.decode)
    return found.state if found is not None else None


def run_all(pool: Pool) -> None:
    """Work until every job has ended."""

    def ended() -> bool:
        pool.work()
        return len(pool.count(JobSucceeded)) == len(set(pool.jobs))

    until(ended, "every job succeeds")
    each_once(pool)


def each_once(pool: Pool) -> None:
    once = dict.fromkeys(pool.jobs, 1)
    for kind in (JobAccepted, AttemptStarted, JobSucceeded):
        assert pool.count(kind) == once, kind


def test_a_job_is_accepted_dispatched_with_its_payload_and_ends(pool: Pool, processes: Processes) -> None:
    scheduler = processes.start("scheduler", group_of(pool))
    pool.setup()
    pool.join()
    pool.submit()
    (run,) = until(pool.work, "a run order")
    assert (run.job, run.attempt, run.partition) == (pool.jobs[0], 1, pool.partition)
    assert run.payload is not None
    assert WORDS.encode() in bytes(run.payload.inputs)
    run_all(pool)
    assert scheduler.terminate() == 0
    assert WORDS not in scheduler.log.read_text()
    assert all(WORDS.encode() not in (record.value or b"") for record in pool.records())


def test_a_restart_goes_on_from_the_snapshot(pool: Pool, processes: Processes) -> None:
    group = group_of(pool)
    first = processes.start("scheduler", group)
    pool.setup()
    pool.join()
    pool.submit(3)
    run_all(pool)
    assert first.terminate() == 0
    state = _newest(pool)
    assert state is not None
    assert snapshot.state_hash(state) == pool.state_hash()

    second = processes.start("scheduler", group)
    pool.submit(2)
    run_all(pool)
    assert second.said(f'"snapshot_offset": {state.head_offset}')
    assert pool.state_hash(state) == pool.state_hash(), "snapshot and tail fold to what all folds to"


def test_a_damaged_snapshot_is_skipped(pool: Pool, processes: Processes) -> None:
    group = group_of(pool)
    first = processes.start("scheduler", group)
    pool.setup()
    until(lambda: pool.state().position == 3, "the setup is read")
    first.terminate()
    store = ObjectStore(pool.settings)
    good = store.list(f"snapshots/{pool.name}/")[-1]
    store.put(good, store.get(good, BYTES_MAX)[:-1] + b" ")
    second = processes.start("scheduler", group)
    until(lambda: len(pool.opened()) == 2, "the next epoch")
    assert second.said("a snapshot is passed over for an older one")


@pytest.mark.parametrize("where", ["end", "beginning"])
def test_group_offsets_moved_while_down_lose_and_repeat_nothing(pool: Pool, processes: Processes, where: str) -> None:
    group = group_of(pool)
    first = processes.start("scheduler", group)
    pool.setup()
    pool.join()
    pool.submit(5)
    run_all(pool)
    first.kill()
    pool.submit(5)
    low, high = offsets(pool.settings.brokers, JOBS, pool.partition)
    until(lambda: _committed(pool, group, high if where == "end" else low), "the offset is set")

    processes.start("scheduler", group)
    run_all(pool)
    pool.submit(5)
    run_all(pool)


def _committed(pool: Pool, group: str, offset: int) -> bool:
    """False while the broker still counts the killed process as a member."""
    try:
        commit(pool.settings, group, JOBS, pool.partition, offset)
    except Exception:
        return False
    return True


def test_kill_9_at_any_moment_loses_and_repeats_nothing(pool: Pool, processes: Processes) -> None:
    group = group_of(pool)
    scheduler = processes.start("scheduler", group)
    pool.setup()
    pool.join()
    until(lambda: len(pool.opened()) == 1, "the pool is opened")
    for kills in range(3):
        pool.submit(20)
        until(lambda k=kills: len(pool.count(JobAccepted)) > 20 * k, "some are accepted")  # type: ignore[misc]
        scheduler.kill()
        pool.submit(5)
        scheduler = processes.start("scheduler", group)
        until(lambda k=kills: len(pool.opened()) == k + 2, "the next epoch")  # type: ignore[misc]
        pool.beat()
    run_all(pool)


def test_of_two_schedulers_at_once_the_loser_leaves_the_pool_and_nothing_is_lost(
    pool: Pool, processes: Processes
) -> None:
    one = processes.start("scheduler", group_of(pool))
    pool.setup()
    pool.join()
    pool.submit(10)
    run_all(pool)
    other = processes.start("scheduler", group_of(pool))
    pool.submit(10)
    until(lambda: one.said(f"another scheduler has taken pool '{pool.name}'"), "the first leaves the pool to the other")
    until(lambda: other.said(f'"pool": "{pool.name}", "epoch"'), "the other leads it")
    pool.submit(10)
    run_all(pool)
    assert one.process.poll() is None, "what ends is the pool's host, not the process"
    assert other.process.poll() is None
    assert [event.session for event in pool.opened()] == list(dict.fromkeys(e.session for e in pool.opened()))
    other.terminate()
    state = _newest(pool)
    assert state is not None
    assert snapshot.state_hash(state) == pool.state_hash()


def test_a_zombies_record_after_opened_does_not_count(pool: Pool, processes: Processes) -> None:
    scheduler = processes.start("scheduler", group_of(pool))
    pool.setup()
    pool.join()
    until(lambda: pool.state().position == 4, "the setup is read")
    first = pool.batches()[0]
    late = encode(Batch(pool.name, 1, 1, first.prev_hash, first.now_ms, 0, False, 1_000, (), ()))
    producer = Producer(pool.settings.brokers, "zombie")
    producer.send_and_wait(LEDGER, late, partition=pool.partition)
    producer.close()
    pool.submit(3)
    run_all(pool)
    assert scheduler.process.poll() is None


def test_unreadable_records_are_quarantined_and_the_stream_goes_on(pool: Pool, processes: Processes) -> None:
    scheduler = processes.start("scheduler", group_of(pool))
    pool.setup()
    pool.join()
    bad = [
        pool.say_bytes(f"not JSON: {WORDS}".encode()),
        pool.say_bytes(b'{"type":"JobSubmitted.v999","prompt":"' + WORDS.encode() + b'"}'),
        pool.say_bytes(b'{"type":"NodeLeft.v1","node":7}'),
    ]
    pool.say_bytes(None)
    pool.submit()
    run_all(pool)
    assert {record.offset for record in pool.quarantined()} == set(bad)
    assert all(WORDS not in record.reason and record.reason for record in pool.quarantined())
    events = [event for event in pool.events() if isinstance(event, InputQuarantined)]
    assert [event.offset for event in events] == bad
    assert WORDS not in scheduler.log.read_text()


def test_a_submission_too_old_to_run_is_set_aside_and_never_run(pool: Pool, processes: Processes) -> None:
    processes.start("scheduler", group_of(pool))
    pool.setup()
    pool.join()
    offset = pool.say(pool.submission(via="kafka", submitted_ms=1))
    pool.submit()
    run_all(pool)
    assert [(record.offset, WORDS.encode() in b64decode(record.value_base64)) for record in pool.quarantined()] == [
        (offset, True)
    ]
    (event,) = [event for event in pool.events() if isinstance(event, InputQuarantined)]
    assert (event.offset, bool(event.job)) == (offset, True)


def test_a_second_copy_of_a_submission_changes_nothing(pool: Pool, processes: Processes) -> None:
    processes.start("scheduler", group_of(pool))
    pool.setup()
    pool.join()
    pool.submit()
    run_all(pool)
    pool.submit(job=pool.jobs[0])
    until(lambda: bool(pool.count(JobDuplicated)), "the copy is noticed")
    assert pool.count(JobSucceeded) == {pool.jobs[0]: 1}


def test_what_was_aborted_in_jobs_is_no_job_and_markers_at_its_end_keep_no_tick_waiting(
    pool: Pool, processes: Processes
) -> None:
    scheduler = processes.start("scheduler", group_of(pool))
    pool.setup()
    pool.join()
    upstream = TransactionalProducer({"bootstrap.servers": pool.settings.kafka, "transactional.id": pool.name})
    upstream.init_transactions(30)
    jobs = []
    for ends in (upstream.commit_transaction, upstream.abort_transaction):
        upstream.begin_transaction()
        for _ in range(3):
            record = pool.submission()
            jobs.append(record.submission.job)
            upstream.produce(JOBS, encode(record), key=uuid.uuid4().hex, partition=pool.partition)
            upstream.flush()
        ends()
    pool.jobs += jobs[:3]
    run_all(pool)
    upstream.begin_transaction()
    upstream.produce(JOBS, b"", key=b"k", partition=pool.partition)
    upstream.flush()
    upstream.abort_transaction()
    _, end = offsets(pool.settings.brokers, JOBS, pool.partition)
    until(lambda: any(b.caught_up and b.position >= end for b in pool.batches()), "a batch behind the last marker")
    assert not set(jobs[3:]) & set(pool.count(JobAccepted))
    assert "expired" not in scheduler.log.read_text()
