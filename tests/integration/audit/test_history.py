"""`jobs why --ledger` and `audit as-of` as an operator types them, against a pool that runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from cli.main import run
from contract import inputs
from contract.codec import encode
from contract.names import payload_digest
from contract.policy import fingerprint
from contract.topics import JOBS
from local.services import Services
from registry import pools
from runtime.kafka import Producer
from runtime.postgres import engine
from tests.integration.audit.host import Host
from tests.unit.audit.ledger import POLICY, SALT, VERSION, job_of
from tests.waiting import until
from views import queries

JOB = job_of(4711)
NODE = ("n-why", "n-why.a")


def printed(capsys: pytest.CaptureFixture[str], *typed: str) -> Any:
    capsys.readouterr()
    assert run([*typed, "-o", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_why_and_as_of_of_a_pool_that_runs(
    servers: Services, host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in servers.settings.environment().items():
        monkeypatch.setenv(name, value)
    database = engine(servers.settings)
    pools.register(database, POLICY)
    producer = Producer(servers.settings.brokers, "test")

    def say(*bodies: inputs.Wire) -> None:
        for body in bodies:
            producer.send_and_wait(JOBS, encode(body), key=b"k", partition=0)

    def state() -> str:
        with database.connect() as connection:
            row = queries.any_job(connection, JOB)
        return row.state if row is not None else ""

    say(
        inputs.PolicyApplied(POLICY, fingerprint(POLICY)),
        inputs.VersionPublished("film", VERSION, inputs.Requirements(("cpu",), 0), 60_000),
        inputs.AliasMoved("film", "live", VERSION, 1),
    )
    payload = msgspec.json.encode({"prompt": "a heron"})
    body = inputs.Submission(JOB, "acme", "free", "film", payload_digest(SALT, payload), "api")
    say(inputs.JobSubmitted(body, msgspec.Raw(payload), SALT))
    until(lambda: state() == "queued", "the job is queued, there is no node")
    until(lambda: printed(capsys, "jobs", "why", JOB, "--ledger")["wait_ms"] > 0, "it has waited for a while")
    waiting = printed(capsys, "jobs", "why", JOB, "--ledger")
    assert waiting["outcome"] == "waiting"
    assert "no_node" in {cause["cause"] for cause in waiting["causes"]}
    then_ms = waiting["until_ms"]

    say(inputs.NodeJoined(*NODE, "east", "cpu", 1, 0, 4096))
    until(lambda: state() == "dispatched", "the job is dispatched")
    with database.connect() as connection:
        (attempt,) = queries.attempts(connection, "acme", JOB)
    say(inputs.NodeReport(*NODE, (inputs.Started(JOB, attempt.dispatch),)))
    until(lambda: state() == "started", "the job is started")

    found = printed(capsys, "jobs", "why", JOB, "--ledger")
    assert (found["outcome"], found["damage"]) == ("started", None)
    assert sum(cause["ms"] for cause in found["causes"]) == found["wait_ms"] > 0
    assert {"no_node", "version"} <= {cause["cause"] for cause in found["causes"]}

    (now,) = printed(capsys, "audit", "as-of", "now", "--pool", "main")
    assert {(node["node"], node["running"]) for node in now["nodes"]} >= {("n-why", 1)}
    then = datetime.fromtimestamp(then_ms / 1000, UTC).isoformat(timespec="milliseconds")
    (before,) = printed(capsys, "audit", "as-of", then, "--pool", "main")
    assert "n-why" not in {node["node"] for node in before["nodes"]}
    assert sum(tier["queued"] for tier in before["tiers"]) >= 1
    assert run(["audit", "as-of", "10d ago"]) == 2
    assert "expected a moment since the ledger of pool main began" in capsys.readouterr().err

    digest = "sha256:" + "e" * 64
    say(inputs.NodeReport(*NODE, (inputs.Succeeded(JOB, attempt.dispatch, digest),)), inputs.NodeLeft(*NODE))
    until(lambda: state() == "succeeded", "the job has ended")
    producer.close()
    database.dispose()
