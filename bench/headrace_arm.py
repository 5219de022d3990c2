"""The same no-op job through Headrace: its whole stack as `headrace up` starts it, the submitter a Kafka producer that
writes what the API writes."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench import measure
from contract.codec import encode, headers_for
from contract.inputs import JobSubmitted, Submission
from contract.names import job_id, payload_digest
from contract.topics import JOBS
from local import stack
from local.options import Options
from registry import publishing
from registry.models import resolve
from runtime.kafka import Producer
from runtime.object_store import ObjectStore
from runtime.postgres import engine
from runtime.settings import Settings

HERE = Path(__file__).parent
SLOTS = 8


def submission(number: int, inputs: bytes, tier: str = "api", model: str = "stamp") -> JobSubmitted:
    """What the API would write for job `number`."""
    salt = secrets.token_hex(16)
    job = job_id("main", "bench", str(number), uuid.uuid4().hex)
    said = Submission(job, "bench", tier, model, payload_digest(salt, inputs), "api")
    return JobSubmitted(said, msgspec.Raw(inputs), salt)


class Submitter:
    """A product's producer of its own."""

    def __init__(self, settings: Settings) -> None:
        self._producer = Producer(settings.kafka, "bench-submitter")

    def send(self, folder: Path, count: int, rate_per_s: float) -> None:
        """Open loop: job i is due at i / rate, however long the ones before took. Rate 0: as fast as it goes."""
        begun = time.perf_counter()
        for number in range(count):
            if rate_per_s and (ahead := begun + number / rate_per_s - time.perf_counter()) > 0:
                time.sleep(ahead)
            inputs = b'{"sent_ns":%d,"folder":"%s"}' % (time.time_ns(), str(folder).encode())
            self.send_one(submission(number, inputs))
        self._producer.flush(60)

    def send_one(self, record: JobSubmitted) -> None:
        event_id = uuid.uuid4().hex
        headers = headers_for(record, event_id, "//bench")
        self._producer.send(JOBS, encode(record), key=event_id.encode(), headers=headers, partition=0)

    def close(self) -> None:
        self._producer.close()


@contextmanager
def running(slots: int = SLOTS, nodes: int = 1) -> Iterator[tuple[Path, Settings]]:
    """A whole stack in a directory of its own, the stamp model published."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        data = Path(name)
        try:
            stack.up(Options(data=data, nodes=nodes, slots=slots, policy=HERE / "policy.yaml"), detach=True)
            settings = stack.settings(data)
            publish(settings, HERE / "models" / "stamp")
            yield data, settings
        finally:
            stack.down(data)


def publish(settings: Settings, directory: Path) -> str:
    """Digest of the version, once the scheduler's topic has it."""
    database = engine(settings)
    done = publishing.publish(directory, engine=database, store=ObjectStore(settings), who="bench", alias="live")
    while not resolve(database, f"{done.version.model}@{done.version.digest}").relayed:
        time.sleep(0.01)
    database.dispose()
    return done.version.digest


@contextmanager
def node(settings: Settings, slots: int, scratch: Path) -> Iterator[None]:
    """One node of the cluster, started by hand."""
    command = [sys.executable, "-m", "gpu_worker", "--cluster", "local", "--node", "bench", "--slots", str(slots)]
    env = {**os.environ, **settings.model_copy(update={"data": scratch}).environment()}
    with (scratch / "node.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


class HeadraceArm:
    name = "headrace"

    def latency(self, rate_per_s: float, seconds: float) -> measure.Latency:
        count = int(rate_per_s * seconds)
        with running() as (data, settings):
            submitter = Submitter(settings)
            warm, folder = data / "warm", data / "stamps"
            warm.mkdir()
            folder.mkdir()
            submitter.send(warm, 20, 0)
            measure.wait_for(warm, 20, 60)
            submitter.send(folder, count, rate_per_s)
            pairs = measure.wait_for(folder, count, 120)
            submitter.close()
        return measure.latency(pairs, rate_per_s)

    def drain(self, count: int) -> measure.Drain:
        with running(nodes=0) as (data, settings):
            submitter = Submitter(settings)
            folder = data / "stamps"
            folder.mkdir()
            submitter.send(folder, count, 0)
            submitter.close()
            (data / "bench-node").mkdir()
            with node(settings, SLOTS, data / "bench-node"):
                pairs = measure.wait_for(folder, count, 180)
        return measure.drain(pairs)
