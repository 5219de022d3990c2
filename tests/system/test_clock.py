"""A host whose wall clock is an hour off changes no wait: the broker's clock is the only clock.

The scheduler and the node run with Python's wall clock shifted before any module of ours is imported. (libfaketime was
tried: librdkafka's timed waits spin under it.)
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.headrace_arm import Submitter, publish, submission
from contract.codec import decode_batch
from contract.events import JobDispatched, JobSucceeded
from contract.topics import LEDGER
from local import services
from runtime.kafka import offsets, read_range
from runtime.settings import Settings
from tests.system.installation import NOOP, POLICY
from tests.waiting import until

SHIFTED = """
import runpy, sys, time
shift_s = float(sys.argv[1])
time.time = lambda real=time.time: real() + shift_s
time.time_ns = lambda real=time.time_ns: real() + int(shift_s * 1e9)
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
HOUR_MS = 3_600_000


@contextmanager
def process(settings: Settings, module: str, *arguments: str, shift_s: int = 0) -> Iterator[None]:
    """`python -m MODULE ARGUMENTS` with its wall clock off by `shift_s`."""
    command = [sys.executable, "-c", SHIFTED, str(shift_s), module, *arguments]
    running = subprocess.Popen(command, env={**os.environ, **settings.environment()}, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        running.terminate()
        running.wait(30)


@pytest.mark.parametrize(("scheduler", "node"), [(3600, -3600), (-3600, 3600)])
def test_hosts_an_hour_off_change_no_wait(tmp_path: Path, scheduler: int, node: int) -> None:
    with services.running(tmp_path) as started:
        settings = started.settings
        keys = tmp_path / "keys.json"
        install = [sys.executable, "-m", "local.install", "--policy", str(POLICY), "--keys", str(keys)]
        subprocess.run(install, env={**os.environ, **settings.environment()}, check=True)
        with (
            process(settings, "streams.scheduler", shift_s=scheduler),
            process(settings, "registry.relay"),
            process(settings, "gpu_worker", "--cluster", "local", "--node", "n", "--slots", "2", shift_s=node),
        ):
            publish(settings, NOOP)
            submitter = Submitter(settings)
            for number in range(10):
                submitter.send_one(submission(number, b"{}", "free", "noop"))
            submitter.close()
            until(lambda: count(settings, JobSucceeded) == 10, "ten jobs succeeded", 60)
        for at_ms, now_ms, event in events(settings)[1:]:  # the first Opened knows no time yet
            assert abs(at_ms - now_ms) < HOUR_MS // 10, "the pool's clock is the broker's"
            if isinstance(event, JobDispatched):
                assert 0 <= event.waited_ms < HOUR_MS // 10


def events(settings: Settings) -> list[tuple[int, int, object]]:
    """(append time, the batch's time, event) of the whole ledger."""
    low, high = offsets(settings.brokers, LEDGER, 0)
    records = [(r.timestamp_ms, decode_batch(r.value)) for r in read_range(settings.brokers, LEDGER, 0, low, high)]
    return [(at_ms, batch.now_ms, event) for at_ms, batch in records for event in batch.events]


def count(settings: Settings, kind: type) -> int:
    return sum(isinstance(event, kind) for _, _, event in events(settings))
