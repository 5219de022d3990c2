"""`policy shadow` beside a pool that runs: it says what a candidate would have done, and changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cli.main import run
from contract import inputs
from contract.codec import encode
from contract.names import payload_digest
from contract.policy import fingerprint
from contract.topics import JOBS, SHADOW, dispatch_topic
from local.services import Services
from registry import pools
from runtime.kafka import Producer, offsets
from runtime.postgres import engine
from tests.integration.audit.host import Host
from tests.unit.audit.ledger import POLICY, SALT, VERSION, job_of
from tests.waiting import until
from views import queries

NODE = ("n-shadow", "n-shadow.a")
SLOTS = 8
"""More slots than jobs: a job that another test left waiting may hold a slot for ever."""
ROOT = Path(__file__).parents[3]
CANDIDATE = """
tiers: {api: {slo: 100s}, free: {slo: 10s}}
pools: {main: {partition: 0}}
clusters: {east: {pool: main, limit: 4}}
discipline: fifo
"""


class LivePool:
    """A pool that a scheduler leads, with one node, and jobs that run there."""

    def __init__(self, servers: Services) -> None:
        self.kafka = servers.settings.brokers
        self._producer = Producer(self.kafka, "test")
        self._database = engine(servers.settings)
        pools.register(self._database, POLICY)
        self.say(
            inputs.PolicyApplied(POLICY, fingerprint(POLICY)),
            inputs.VersionPublished("film", VERSION, inputs.Requirements(("cpu",), 0), 60_000),
            inputs.AliasMoved("film", "live", VERSION, 1),
            inputs.NodeJoined(*NODE, "east", "cpu", SLOTS, 0, 4096),
        )

    def close(self) -> None:
        self.say(inputs.NodeLeft(*NODE))
        self._producer.close()
        self._database.dispose()

    def say(self, *bodies: inputs.Wire) -> None:
        for body in bodies:
            self._producer.send_and_wait(JOBS, encode(body), key=b"k", partition=0)

    def beat(self) -> None:
        self.say(inputs.NodeHeartbeat(*NODE))

    def dispatch_of(self, job: str) -> str:
        with self._database.connect() as connection:
            found = queries.attempts(connection, "acme", job)
        return found[0].dispatch if found else ""

    def live(self, numbers: range) -> None:
        """These jobs are submitted, run and succeed, one after another."""
        for number in numbers:
            payload = msgspec.json.encode({"prompt": "a heron"})
            tier = "api" if number % 2 else "free"
            body = inputs.Submission(job_of(number), "acme", tier, "film", payload_digest(SALT, payload), "api")
            self.say(inputs.JobSubmitted(body, msgspec.Raw(payload), SALT))
        for number in numbers:
            job = job_of(number)
            dispatch = until(partial(self.dispatch_of, job), "the job is dispatched")
            self.say(inputs.NodeReport(*NODE, (inputs.Started(job, dispatch),)))
            self.say(inputs.NodeReport(*NODE, (inputs.Succeeded(job, dispatch, "sha256:" + "e" * 64),)))
            self.beat()


@pytest.fixture(scope="module")
def pool(servers: Services, host: Host) -> Iterator[LivePool]:
    pool = LivePool(servers)
    yield pool
    pool.close()


@pytest.fixture
def candidate(servers: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A candidate policy in a file, for a command that finds the servers."""
    for name, value in servers.settings.environment().items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "candidate.yaml"
    file.write_text(CANDIDATE)
    return file


def printed(capsys: pytest.CaptureFixture[str], *typed: str) -> Any:
    capsys.readouterr()
    assert run([*typed, "-o", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def later(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def shown(capsys: pytest.CaptureFixture[str], name: str) -> dict[str, Any]:
    """What `policy shadows` says of this shadow; empty while it says nothing."""
    entries: list[dict[str, Any]] = printed(capsys, "policy", "shadows")
    return next((entry for entry in entries if entry["shadow"] == name), {})


def begun(candidate: Path, name: str) -> subprocess.Popen[bytes]:
    """`policy shadow` from now on, as a process of its own."""
    script = ["-c", "from cli.main import main; main()", "policy", "shadow", str(candidate), "--name", name]
    return subprocess.Popen([sys.executable, *script], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_a_candidate_follows_the_ledger_from_its_beginning_and_changes_nothing(
    pool: LivePool, candidate: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pool.live(range(9001, 9005))
    before = [offsets(pool.kafka, topic, 0)[1] for topic in (JOBS, dispatch_topic("east"))]
    ended = printed(capsys, "policy", "shadow", str(candidate), "--since", "2020-01-01", "--until", later(1))
    assert ended["ended"] == "the time of --until has passed"
    assert [offsets(pool.kafka, topic, 0)[1] for topic in (JOBS, dispatch_topic("east"))] == before
    assert offsets(pool.kafka, SHADOW, 0)[1] > 0
    found = printed(capsys, "policy", "shadows", "candidate")
    assert found["jobs"] >= 4
    assert found["dispatches"] >= 4
    assert (found["discipline"], found["stopped"]) == ("fifo", "the time of --until has passed")
    assert {column["name"] for column in found["columns"]} == {"recorded", "shadow"}
    assert run(["policy", "shadows", "candidate", "--jobs", str(tmp_path / "jobs.csv")]) == 0
    assert job_of(9001) in (tmp_path / "jobs.csv").read_text()


def test_a_shadow_that_was_killed_says_again_what_it_said_and_goes_on(
    pool: LivePool, candidate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def has_decided() -> bool:
        pool.beat()
        return bool(shown(capsys, "second")["dispatches"] > 0)

    process = begun(candidate, "second")
    try:
        until(lambda: shown(capsys, "second"), "the shadow has begun")
        pool.live(range(9005, 9008))
        until(has_decided, "it has decided")
    finally:
        process.kill()
        process.wait(10)
    first = shown(capsys, "second")
    assert first["stopped"] == ""
    again = printed(capsys, "policy", "shadow", str(candidate), "--name", "second", "--until", later(1))
    assert again["shadow"] == "second"
    second = shown(capsys, "second")
    assert second["run"] != first["run"]
    assert second["from_ms"] == first["from_ms"]
    assert second["jobs"] >= 3


def test_a_shadow_that_is_asked_to_stop_says_so(
    pool: LivePool, candidate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = begun(candidate, "third")
    try:
        until(lambda: shown(capsys, "third"), "the shadow has begun")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
    assert shown(capsys, "third")["stopped"] == "it was interrupted"


def test_a_candidate_that_does_not_fit_is_refused(
    pool: LivePool, candidate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["policy", "shadow", str(candidate), "--pool", "none"]) == 2
    candidate.write_text(CANDIDATE.replace("partition: 0", "partition: 3"))
    assert run(["policy", "shadow", str(candidate)]) == 2
    assert "expected partition 0, which it has for ever" in capsys.readouterr().err
    candidate.write_text(CANDIDATE.replace("fifo", "strict"))
    assert run(["policy", "shadow", str(candidate)]) == 2
    assert "strict lets jobs wait for ever under overload" in capsys.readouterr().err
