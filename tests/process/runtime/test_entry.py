"""Whatever is wrong where a process of ours is started is its last words, in one line, without a stack trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract.signing import InstallationKey
from tests.stub_broker import StubBroker, metadata

PROGRAMS = {
    "scheduler": ["streams.scheduler"],
    "intake": ["streams.intake"],
    "projector": ["streams.projector"],
    "relay": ["registry.relay"],
    "api": ["api"],
    "install": ["local.install", "--keys", "keys.json"],
    "gpu_worker": ["gpu_worker", "--cluster", "c", "--node", "n", "--slots", "1"],
    "cpu_worker": ["cpu_worker", "--cluster", "c", "--node", "n", "--slots", "1"],
}
DEADLINE_S = 60
KEY = InstallationKey(b"k" * 32).of("operator.ada")


def last_words(process: str, settings: dict[str, str], data: Path) -> tuple[int, str]:
    """(exit status, what was found), of a process with these settings. Nothing but lines of the log is said."""
    named = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        [sys.executable, "-m", *PROGRAMS[process]],
        env={**named, "HEADRACE_DATA": str(data), "HEADRACE_API_PORT": "0", **settings},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert (lines[-1]["process"], lines[-1]["level"], lines[-1]["event"]) == (process, "error", "cannot run")
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
    assert KEY.text not in done.stderr
    return done.returncode, lines[-1]["found"]


@pytest.mark.parametrize("process", PROGRAMS)
def test_a_broker_that_lets_anybody_in(process: str, tmp_path: Path) -> None:
    with StubBroker(metadata(topics=7)) as broker:
        status, found = last_words(process, {"HEADRACE_KAFKA": broker.address}, tmp_path)
    assert status == 1
    assert f"found that {broker.address} lists its 7 topics to one without a name" in found
    assert "HEADRACE_KAFKA_DEVELOPMENT=true" in found


@pytest.mark.parametrize("process", PROGRAMS)
def test_a_setting_that_cannot_be_read(process: str, tmp_path: Path) -> None:
    status, found = last_words(process, {"DATABASE_URL": "postgres://u:secret@host:port/d"}, tmp_path)
    assert status == 2
    assert found.startswith("DATABASE_URL: expected postgresql://user@host:port/database, found another URL")


@pytest.mark.parametrize("process", ["api", "gpu_worker", "cpu_worker"])
def test_a_proxy_that_no_client_can_use(process: str, tmp_path: Path) -> None:
    """Case C9, of processes. The others ask the broker first."""
    settings = {"ALL_PROXY": "socks5h://u:secret@127.0.0.1:1080", "HEADRACE_S3_ENDPOINT": "http://s3.example:9000"}
    status, found = last_words(process, settings, tmp_path)
    assert status == 1
    assert found.startswith("expected ALL_PROXY to name a proxy by http:// or https://, found a SOCKS proxy; unset")


@pytest.mark.parametrize("process", ["intake", "relay", "api", "gpu_worker", "cpu_worker"])
def test_the_signing_key_of_somebody_else(process: str, tmp_path: Path) -> None:
    settings = {"HEADRACE_SIGNER": "operator.ada", "HEADRACE_SIGNING_KEY": KEY.text}
    status, found = last_words(process, settings, tmp_path)
    assert status == 1
    assert found.startswith("HEADRACE_SIGNER: expected ")


@pytest.mark.parametrize("process", ["relay"])
def test_a_port_that_is_none(process: str, tmp_path: Path) -> None:
    status, found = last_words(process, {"HEADRACE_METRICS_PORT": "70000"}, tmp_path)
    assert status == 1
    assert found.startswith("HEADRACE_METRICS_PORT: expected a free port of 127.0.0.1, found 70000")
