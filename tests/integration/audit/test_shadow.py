"""`policy shadow` beside a pool that runs: it says what a candidate would have done, changes nothing, and begins again
where it began when it was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
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
"""More than there are jobs: one that another test left waiting may hold one for ever."""
ROOT = Path(__file__).parents[3]
CANDIDATE = """
tiers: {api: {slo: 100s}, free: {slo: 10s}}
pools: {main: {partition: 0}}
clusters: {east: {pool: main, limit: 4}}
discipline: fifo
"""


def printed(capsys: pytest.CaptureFixture[str], *typed: str) -> Any:
    capsys.readouterr()
    assert run([*typed, "-o", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def later(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_a_candidate_follows_the_live_ledger_and_changes_nothing(
    servers: Services,
    host: Host,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    for name, value in servers.settings.environment().items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "candidate.yaml"
    file.write_text(CANDIDATE)
    kafka, database = servers.settings.kafka, engine(servers.settings)
    pools.register(database, POLICY)
    producer = Producer(kafka, "test")

    def say(*bodies: inputs.Wire) -> None:
        for body in bodies:
            producer.send_and_wait(JOBS, encode(body), key=b"k", partition=0)

    def dispatch_of(job: str) -> str:
        with database.connect() as connection:
            found = queries.attempts(connection, "acme", job)
        return found[0].dispatch if found else ""

    def live(numbers: range) -> None:
        """These jobs are submitted, run and succeed, one after another."""
        for number in numbers:
            payload = msgspec.json.encode({"prompt": "a heron"})
            tier = "api" if number % 2 else "free"
            body = inputs.Submission(job_of(number), "acme", tier, "film", payload_digest(SALT, payload), "api")
            say(inputs.JobSubmitted(body, msgspec.Raw(payload), SALT))
        for number in numbers:
            dispatch = until(lambda job=job_of(number): dispatch_of(job), "the job is dispatched")
            say(inputs.NodeReport(*NODE, (inputs.Started(job_of(number), dispatch),)))
            digest = "sha256:" + "e" * 64
            say(inputs.NodeReport(*NODE, (inputs.Succeeded(job_of(number), dispatch, digest),)))
            say(inputs.NodeHeartbeat(*NODE))

    say(
        inputs.PolicyApplied(POLICY, fingerprint(POLICY)),
        inputs.VersionPublished("film", VERSION, inputs.Requirements(("cpu",), 0), 60_000),
        inputs.AliasMoved("film", "live", VERSION, 1),
        inputs.NodeJoined(*NODE, "east", "cpu", SLOTS, 0, 4096),
    )
    live(range(9001, 9005))

    # from the beginning of the ledger to now
    before = [offsets(kafka, topic, 0)[1] for topic in (JOBS, dispatch_topic("east"))]
    ended = printed(capsys, "policy", "shadow", str(file), "--since", "2020-01-01", "--until", later(1))
    assert ended["ended"] == "the time of --until has passed"
    assert [offsets(kafka, topic, 0)[1] for topic in (JOBS, dispatch_topic("east"))] == before
    found = printed(capsys, "policy", "shadows", "candidate")
    assert found["jobs"] >= 4
    assert found["dispatches"] >= 4
    assert (found["discipline"], found["stopped"]) == ("fifo", "the time of --until has passed")
    assert {column["name"] for column in found["columns"]} == {"recorded", "shadow"}
    assert run(["policy", "shadows", "candidate", "--jobs", str(tmp_path / "jobs.csv")]) == 0
    assert job_of(9001) in (tmp_path / "jobs.csv").read_text()

    # from now on, as a process of its own, which is killed; begun again it says again what it said and goes on
    script = ["-c", "from cli.main import main; main()", "policy", "shadow", str(file), "--name", "second"]
    process = subprocess.Popen([sys.executable, *script], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})

    def said() -> dict[str, Any]:
        return {entry["shadow"]: entry for entry in printed(capsys, "policy", "shadows")}.get("second", {})

    try:
        until(said, "the shadow has begun")
        live(range(9005, 9008))
        until(lambda: (say(inputs.NodeHeartbeat(*NODE)), said()["dispatches"] > 0)[1], "it has decided")
    finally:
        process.kill()
        process.wait(10)
    first = said()
    assert first["stopped"] == ""
    again = printed(capsys, "policy", "shadow", str(file), "--name", "second", "--until", later(1))
    assert again["shadow"] == "second"
    second = said()
    assert second["run"] != first["run"]
    assert second["from_ms"] == first["from_ms"]
    assert second["jobs"] >= 3

    # asked to stop, it says so
    process = subprocess.Popen([sys.executable, *script], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        until(lambda: said()["run"] != second["run"], "it has begun again")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
    assert said()["stopped"] == "it was interrupted"

    assert run(["policy", "shadow", str(file), "--pool", "none"]) == 2
    file.write_text(CANDIDATE.replace("partition: 0", "partition: 3"))
    assert run(["policy", "shadow", str(file)]) == 2
    assert "expected partition 0, which it has for ever" in capsys.readouterr().err
    file.write_text(CANDIDATE.replace("fifo", "strict"))
    assert run(["policy", "shadow", str(file)]) == 2
    assert "strict lets jobs wait for ever under overload" in capsys.readouterr().err
    assert offsets(kafka, SHADOW, 0)[1] > 0
    say(inputs.NodeLeft(*NODE))
    producer.close()
    database.dispose()
