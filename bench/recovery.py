"""Measures how long a killed scheduler is missed with 100,000 jobs queued, and how fast a ledger folds and verifies."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import msgspec
import psutil

from audit.ledger.reader import ledger_of_partition
from audit.verify.verification import verify
from bench import headrace_arm
from contract.chain import Chain, Counted
from contract.codec import decode_batch
from contract.events import JobDispatched, Opened
from contract.topics import LEDGER
from local import stack
from runtime.kafka import offsets, read_range
from runtime.settings import Settings
from scheduling.evolve import fold
from scheduling.state.pool import initial_state


class Recovery(msgspec.Struct, frozen=True):
    queued: int
    first_dispatch_ms: float
    """From the new process's start to the append time of the batch with its first dispatch."""
    opened_ms: float
    """From the new process's start to the append time of its Opened."""


class Audit(msgspec.Struct, frozen=True):
    jobs: int
    batches: int
    fold_jobs_per_s: float
    verify_batches_per_s: float
    verify_events_per_s: float
    clean: bool


def measure_recovery(queued: int) -> tuple[Recovery, Audit]:
    """Queues jobs of 50 ms for 8 slots, kills the scheduler while all slots work, and watches the ledger."""
    with headrace_arm.running() as (data, settings):
        headrace_arm.publish(settings, headrace_arm.HERE.parent / "examples" / "models" / "noop")
        submitter = headrace_arm.Submitter(settings)
        for number in range(queued):
            submitter.send_one(headrace_arm.submission(number, b'{"sleep_ms":50}', "free", "noop"))
        submitter.close()
        _await_read(settings)
        _await_snapshot(data)
        recovery = _kill_and_watch(data, settings, queued)
        return recovery, measure_audit(settings)


def measure_audit(settings: Settings) -> Audit:
    source, _ = ledger_of_partition(settings.brokers, 0)
    records = [(record.offset, record.value) for record in source()]
    begun = time.perf_counter()
    state, chain = initial_state("main"), Chain("main")
    for offset, value in records:
        judged = chain.offer(offset, value)
        if isinstance(judged, Counted):
            fold(state, judged.batch, judged.hash, offset)
    fold_s = time.perf_counter() - begun
    jobs = len(state.jobs) + len(state.ended)
    verdict = verify(source, "main")
    return Audit(
        jobs,
        verdict.counted,
        jobs / fold_s,
        verdict.decisions_per_s,
        verdict.events / verdict.seconds,
        verdict.clean,
    )


def _await_read(settings: Settings) -> None:
    """Waits until the scheduler has read `jobs` up to its present end, by the position in the ledger's last record."""
    end = offsets(settings.brokers, "jobs", 0)[1]
    deadline = time.monotonic() + 300
    while True:
        low, high = offsets(settings.brokers, LEDGER, 0)
        last = list(read_range(settings.brokers, LEDGER, 0, max(low, high - 1), high))
        if last and decode_batch(last[-1].value).position >= end:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"expected the scheduler to read `jobs` up to {end} within 300 s")
        time.sleep(0.2)


def _await_snapshot(data: Path) -> None:
    """Waits one period of snapshots, so that recovery reads a snapshot and a tail, as in operation."""
    time.sleep(stack.settings(data).snapshot_every_ms / 1000 + 5)


def _kill_and_watch(data: Path, settings: Settings, queued: int) -> Recovery:
    old = _scheduler(data)
    tail = offsets(settings.brokers, LEDGER, 0)[1]
    os.kill(old, signal.SIGKILL)
    while (new := _scheduler(data)) in (0, old) or not psutil.pid_exists(new):
        time.sleep(0.005)
    began_ms = psutil.Process(new).create_time() * 1000
    opened_ms = 0.0
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        end = offsets(settings.brokers, LEDGER, 0)[1]
        for record in read_range(settings.brokers, LEDGER, 0, tail, end):
            events = decode_batch(record.value).events
            if any(isinstance(event, Opened) for event in events):
                opened_ms = record.timestamp_ms - began_ms
            elif opened_ms and any(isinstance(event, JobDispatched) for event in events):
                return Recovery(queued, record.timestamp_ms - began_ms, opened_ms)
        tail = end
        time.sleep(0.01)
    raise TimeoutError("expected a first dispatch within 60 s of the scheduler's start, found none")


def _scheduler(data: Path) -> int:
    return next((part.pid for part in stack.status(data).parts if part.name == "scheduler"), 0)
