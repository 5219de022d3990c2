"""A pool that the registry knows and no scheduler has opened: whoever asks about all pools hears about the others.

A policy that was refused used to leave such a pool behind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from cli.main import run
from contract import inputs
from contract.codec import encode
from contract.policy import Pool, fingerprint
from contract.topics import JOBS, topics_for
from local.services import Services
from registry import pools
from runtime.kafka import Producer, ensure_topics, offsets
from runtime.postgres import engine
from tests.integration.audit.host import Host
from tests.integration.databases import own_database
from tests.unit.audit.ledger import POLICY
from tests.waiting import until

FRESH, LOST = 1, 7
"""Partitions of two pools: the first has no record, the second has not even a partition."""


@pytest.fixture
def here(servers: Services, host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three pools in a registry of its own; only `main` has a history."""
    monkeypatch.setattr("runtime.kafka_reader.LEADER_TIMEOUT_S", 0.2)
    with_fresh = msgspec.structs.replace(POLICY, pools=POLICY.pools | {"fresh": Pool(FRESH)})
    ensure_topics(servers.settings.brokers, topics_for(with_fresh))
    producer = Producer(servers.settings.brokers, "test")
    producer.send_and_wait(JOBS, encode(inputs.PolicyApplied(POLICY, fingerprint(POLICY))), key=b"k", partition=0)
    producer.close()
    until(lambda: offsets(servers.settings.brokers, "ledger", 0)[1] > 0, "the pool main has a history")

    with own_database(servers.settings, "unopened") as own:
        database = engine(own)
        pools.register(database, msgspec.structs.replace(with_fresh, pools={**with_fresh.pools, "lost": Pool(LOST)}))
        database.dispose()
        for variable, value in own.environment().items():
            monkeypatch.setenv(variable, value)
        yield


def printed(capsys: pytest.CaptureFixture[str], *typed: str) -> Any:
    capsys.readouterr()
    assert run([*typed, "-o", "json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_who_asks_of_all_pools_hears_of_those_that_have_a_history(
    here: None, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["audit", "verify", "-o", "json"])  # of `main` it may find things: other tests wrote its history
    verdicts = {verdict["pool"]: verdict for verdict in json.loads(capsys.readouterr().out)}
    assert verdicts["main"]["counted"] > 0
    assert [(verdicts[pool]["records"], verdicts[pool]["findings"]) for pool in ("fresh", "lost")] == [(0, []), (0, [])]
    for command in ("slo", "forecasts"):
        assert [entry["pool"] for entry in printed(capsys, "audit", command)] == ["fresh", "lost", "main"]
    assert run(["audit", "as-of", "now"]) == 0
    shown = capsys.readouterr()
    assert "pool main" in shown.out
    assert "pool lost: no scheduler has opened it yet" in shown.err
    assert printed(capsys, "policy", "shadows") is not None


def test_who_asks_of_such_a_pool_is_told_so(here: None, capsys: pytest.CaptureFixture[str]) -> None:
    for pool in ("fresh", "lost"):
        assert run(["audit", "verify", "--pool", pool]) == 0
        assert f"ledger of pool {pool}: empty, no scheduler has opened the pool yet" in capsys.readouterr().out
        assert run(["audit", "as-of", "now", "--pool", pool]) == 2
        assert "it has no record, no scheduler has opened the pool yet" in capsys.readouterr().err.replace("\n", " ")
