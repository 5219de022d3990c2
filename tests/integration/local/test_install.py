"""`python -m local.install`: what a new installation needs, done once, on whatever servers the settings name."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from contract import codec, topics
from contract.inputs import PolicyApplied
from local.first_policy import read_policy
from local.options import Keys
from local.services import Services
from registry import keys
from runtime import kafka, postgres
from runtime.object_store import ObjectStore


def install(services: Services, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "local.install", *arguments],
        env={**os.environ, **services.settings.environment()},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_does_everything_once(own: Services, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    done = install(own, "--keys", str(file))
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    made = msgspec.json.decode(file.read_bytes(), type=Keys)
    again = install(own, "--keys", str(file))
    assert again.returncode == 0, again.stderr
    assert msgspec.json.decode(file.read_bytes(), type=Keys) == made

    policy = read_policy()
    engine = postgres.engine(own.settings)
    demo, operator = keys.resolve(engine, made.api_key), keys.resolve(engine, made.operator_key)
    engine.dispose()
    assert demo is not None
    assert operator is not None
    assert (demo.tenant, set(demo.tiers), demo.scope) == ("demo", set(policy.tiers), "user")
    assert operator.scope == "operator"

    brokers = own.settings.brokers
    for topic in topics.topics_for(policy):
        assert kafka.partitions(brokers, topic.name) == topic.partitions
    records = [codec.decode_wire(record.value) for record in kafka.read_range(brokers, topics.JOBS, 0, 0, 1)]
    assert kafka.offsets(brokers, topics.JOBS, 0) == (0, 1), "the first policy is applied once"
    assert isinstance(records[0], PolicyApplied)
    assert records[0].policy == policy
    assert ObjectStore(own.settings).bucket_exists()


def test_a_keys_file_of_another_database_is_replaced(own: Services, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(msgspec.json.encode(Keys("demo", "hr_unknown", "hr_unknown")))
    assert install(own, "--keys", str(file)).returncode == 0
    made = msgspec.json.decode(file.read_bytes(), type=Keys)
    engine = postgres.engine(own.settings)
    assert keys.resolve(engine, made.api_key) is not None
    engine.dispose()


@pytest.mark.parametrize("document", [None, "tiers: {}\n"])
def test_a_policy_that_is_none_is_refused_in_words(own: Services, tmp_path: Path, document: str | None) -> None:
    file = tmp_path / "policy.yaml"
    if document is not None:
        file.write_text(document)
    done = install(own, "--keys", str(tmp_path / "keys.json"), "--policy", str(file))
    assert done.returncode == 1
    assert done.stderr.startswith("expected a policy")
    assert "Traceback" not in done.stderr
