"""Runs the no-op job through Headrace: its whole stack, or its core alone. The submitter is a Kafka producer that
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
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from bench import measure
from contract import signers
from contract.inputs import HoldRequested, JobSubmitted, ReleaseRequested, Submission
from contract.names import job_id, payload_digest
from contract.signing import installation_keys
from local import installation_key, kafka_logins, services, stack
from local.options import Layout, Options
from registry import operators, publishing
from registry.models import resolve
from runtime import jobs_writer
from runtime.kafka import Producer
from runtime.object_store import ObjectStore
from runtime.postgres import engine
from runtime.settings import Settings

HERE = Path(__file__).parent
SOURCE = "//bench"
SLOTS = 8
SLOTS_DRAIN = 32
"""A slot holds one attempt and one staged behind that, so the number of slots decides whether the path stays full."""
WARM_JOBS, WARM_PER_S = 500, 400


class Parts(Protocol):
    """Starts what an arm runs, and yields the data directory and the settings."""

    def __call__(self, slots: int, nodes: int = 1) -> AbstractContextManager[tuple[Path, Settings]]: ...


def submission(number: int, inputs: bytes, tier: str = "api", model: str = "stamp") -> JobSubmitted:
    """What the API would write for job `number`."""
    salt = secrets.token_hex(16)
    job = job_id("main", "bench", str(number), uuid.uuid4().hex)
    said = Submission(job, "bench", tier, model, payload_digest(salt, inputs), "api")
    return JobSubmitted(said, msgspec.Raw(inputs), salt)


def settings_as(settings: Settings, signer: str) -> Settings:
    """These settings for a process that signs as `signer` and speaks to Kafka as the user of that role, where the
    installation has keys and users."""
    keys = installation_keys(settings.installation_keys)
    changes = installation_key.settings_of(keys[0].of(signer)) if keys else {}
    if settings.kafka_user:
        users = kafka_logins.draw(Layout(settings.data.parent).kafka_users, ())
        changes |= kafka_logins.settings_of(users, signer.partition("/")[0])
    return settings.model_copy(update=changes)


class Submitter:
    """Submits jobs by Kafka, with a producer of its own."""

    def __init__(self, settings: Settings) -> None:
        own = settings_as(settings, signers.API)
        self._producer = Producer(own.brokers, "bench-submitter")
        self._signer = jobs_writer.signer_of(own, signers.API)

    def send(self, series: str, count: int, rate_per_s: float) -> None:
        """Open loop: job i is due at i / rate, however long the jobs before took. Rate 0 sends without a pause."""
        begun = time.perf_counter()
        for number in range(count):
            if rate_per_s and (ahead := begun + number / rate_per_s - time.perf_counter()) > 0:
                time.sleep(ahead)
            inputs = b'{"sent_ns":%d,"series":"%s"}' % (time.time_ns(), series.encode())
            self.send_one(submission(number, inputs))
        self._producer.flush(60)

    def send_one(self, record: JobSubmitted) -> None:
        event_id = uuid.uuid4().hex
        signed = self._signer.record(record, partition=0, key=event_id.encode(), event_id=event_id, source=SOURCE)
        jobs_writer.send(self._producer, signed)

    def close(self) -> None:
        self._producer.close()


def started(data: Path, series: str, count: int, within_s: float) -> list[tuple[int, int]]:
    """The stamps of this series, from where the model's processes may write: the directory of their slot on a node of
    this data directory."""
    (nodes,) = {place.parent for place in data.rglob("slots")}
    return measure.wait_for(nodes, count, within_s, f"slots/*/kept/{series}/*.txt")


def drained(data: Path, settings: Settings, submitter: Submitter, series: str, count: int) -> list[tuple[int, int]]:
    """The stamps of jobs that were all queued before the first of them started."""
    operators.send(settings, HoldRequested(), [0], SOURCE)
    submitter.send(series, count, 0)
    operators.send(settings, ReleaseRequested(), [0], SOURCE)
    return started(data, series, count, 180)


@contextmanager
def running(slots: int = SLOTS, nodes: int = 1) -> Iterator[tuple[Path, Settings]]:
    """Starts a whole stack in a new directory and publishes the stamp model."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        data = Path(name)
        try:
            stack.up(Options(data=data, nodes=nodes, slots=slots, policy=HERE / "policy.yaml"), detach=True)
            keys = Layout(data).installation_keys.read_text()
            settings = stack.settings(data).model_copy(update={"installation_keys": keys})
            publish(settings, HERE / "models" / "stamp")
            yield data, settings
        finally:
            stack.down(data)


def publish(settings: Settings, directory: Path) -> str:
    """Publishes the model in `directory`, waits until the relay wrote the version to `jobs`, and returns its digest."""
    database = engine(settings)
    done = publishing.publish(directory, engine=database, store=ObjectStore(settings), who="bench", alias="live")
    while not resolve(database, f"{done.version.model}@{done.version.digest}").relayed:
        time.sleep(0.01)
    database.dispose()
    return done.version.digest


@contextmanager
def node(settings: Settings, slots: int, scratch: Path) -> Iterator[None]:
    """Starts one node of the cluster as a process of its own."""
    command = [sys.executable, "-m", "gpu_worker", "--cluster", "local", "--node", "bench", "--slots", str(slots)]
    own = settings_as(settings, signers.node_signer("local", "bench")).model_copy(update={"data": scratch})
    env = {**os.environ, **own.environment()}
    with (scratch / "node.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def whole(slots: int, nodes: int = 1) -> Iterator[tuple[Path, Settings]]:
    """Runs the stack as `headrace up` starts it."""
    with running(slots, nodes) as found:
        yield found


@contextmanager
def core(slots: int, nodes: int = 1) -> Iterator[tuple[Path, Settings]]:
    """Runs the servers, one scheduler and one node. Views, API, intake and relay are left out: the peers have no such
    part."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name, services.running(Path(name)) as started:
        data, settings = Path(name), started.settings
        environment = {**os.environ, **settings.environment()}
        install = ["-m", "local.install", "--policy", str(HERE / "policy.yaml"), "--keys", str(data / "keys.json")]
        subprocess.run([sys.executable, *install], env=environment, check=True, stdout=subprocess.DEVNULL)
        with process(environment, "streams.scheduler"), ExitStack() as stack_of_nodes:
            with process(environment, "registry.relay"):
                publish(settings, HERE / "models" / "stamp")
            if nodes:
                (data / "node").mkdir()
                stack_of_nodes.enter_context(node(settings, slots, data / "node"))
            yield data, settings


@contextmanager
def process(environment: dict[str, str], module: str) -> Iterator[None]:
    """`python -m module` for the length of a `with`."""
    running_ = subprocess.Popen([sys.executable, "-m", module], env=environment, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        running_.terminate()
        running_.wait(30)


class HeadraceArm:
    """Measures Headrace. `parts` says which processes run: `whole` or `core`."""

    def __init__(self, name: str, parts: Parts) -> None:
        self.name = name
        self._parts = parts

    def latency(self, rate_per_s: float, seconds: float) -> measure.Latency:
        count = int(rate_per_s * seconds)
        with self._parts(SLOTS) as (data, settings):
            submitter = Submitter(settings)
            submitter.send("warm", WARM_JOBS, WARM_PER_S)
            started(data, "warm", WARM_JOBS, 60)
            submitter.send("timed", count, rate_per_s)
            pairs = started(data, "timed", count, 120)
            submitter.close()
        return measure.latency(pairs, rate_per_s)

    def drain(self, count: int) -> measure.Drain:
        with self._parts(SLOTS_DRAIN) as (data, settings):
            submitter = Submitter(settings)
            submitter.send("warm", WARM_JOBS, 0)
            started(data, "warm", WARM_JOBS, 60)
            pairs = drained(data, settings, submitter, "queued", count)
            submitter.close()
        return measure.drain(pairs)
