"""`headrace clusters drain` and `activate`, as they are typed: what is said where, and what people read."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from cli import clusters, following
from cli.main import run
from contract.inputs import ClusterActivated, ClusterDrainRequested
from contract.policy import Cluster, Policy, Pool, Tier
from registry import operators
from registry.operators import OperatorRecord
from tests.unit.cli.answers import Answers

NOW_MS = 1_700_000_000_000
POLICY = Policy(
    {"api": Tier(1_000)},
    {"main": Pool(0), "other": Pool(1)},
    {"east": Cluster("main", 4), "far": Cluster("other", 4)},
)


class Installation:
    """An API whose views follow each order at once. `far` runs one attempt until the views were asked twice."""

    def __init__(self) -> None:
        self.said: list[tuple[OperatorRecord, list[int]]] = []
        self.clusters: dict[str, dict[str, Any]] = {
            name: {"pool": its.pool, "cluster": name, "state": "active", "deadline_ms": None, "running": 0, "staged": 0}
            for name, its in POLICY.clusters.items()
        }
        self.clusters["far"]["running"] = 2
        self.hears = True

    def get(self, path: str) -> dict[str, Any]:
        if path == "/v1/policy":
            policy = msgspec.to_builtins(POLICY)
            return {
                "policies": [{"pool": pool, "policy": policy} for pool in POLICY.pools],
                "pools": [{"pool": pool, "at_ms": NOW_MS} for pool in POLICY.pools],
            }
        self.clusters["far"]["running"] = max(0, self.clusters["far"]["running"] - 1)
        return {"clusters": [dict(cluster) for cluster in self.clusters.values()]}

    def say(self, settings: object, record: Any, partitions: list[int], source: str) -> None:
        self.said.append((record, partitions))
        if not self.hears:
            return
        cluster = self.clusters[record.cluster]
        drains = isinstance(record, ClusterDrainRequested)
        cluster["state"] = "draining" if drains else "active"
        cluster["deadline_ms"] = record.deadline_ms or None if drains else None


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Installation:
    installation = Installation()
    monkeypatch.setattr(clusters, "api", lambda data, operator: Answers(installation.get))
    monkeypatch.setattr(clusters, "settings", lambda data: None)
    monkeypatch.setattr(operators, "send", installation.say)
    monkeypatch.setattr(following, "POLL_S", 0)
    return installation


def test_drain_and_activate_are_said_to_the_clusters_own_pool(
    there: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["clusters", "drain", "far", "--deadline", "10m", "--wait"]) == 0
    said: list[tuple[OperatorRecord, list[int]]] = [(ClusterDrainRequested("far", NOW_MS + 600_000), [1])]
    assert there.said == said
    assert there.clusters["far"]["running"] == 0, "--wait"
    assert run(["clusters", "drain", "east"]) == 0
    assert run(["clusters", "activate", "east"]) == 0
    assert there.said == [*said, (ClusterDrainRequested("east", 0), [0]), (ClusterActivated("east"), [0])]
    assert capsys.readouterr().out.splitlines() == [
        "far of pool other drained: nothing runs there",
        "east of pool main drains; `headrace clusters list` shows what still runs",
        "east of pool main takes work",
    ]


def test_for_programs_both_say_what_the_cluster_is_now(there: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, state in ((["drain", "far", "--wait"], "draining"), (["activate", "far"], "active")):
        assert run(["clusters", *arguments, "-o", "json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["cluster"], found["state"], found["running"]) == ("far", state, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["drain", "nowhere"], "expected a cluster of the policy in force (east, far), found 'nowhere'"),
        (["activate", "nowhere"], "expected a cluster of the policy in force (east, far), found 'nowhere'"),
        (
            ["drain", "east", "--deadline", "soon"],
            "--deadline: expected a duration like 30s, 10m or 1h30m, found 'soon'",
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_published(
    there: Installation, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(["clusters", *arguments]) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")
    assert there.said == []


def test_a_scheduler_that_does_not_follow_is_reported(
    there: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there.hears = False
    monkeypatch.setattr(following, "HEARD_WITHIN_S", 0.01)
    assert run(["clusters", "drain", "east"]) == 1
    assert "did not follow" in capsys.readouterr().err


def test_a_clusters_state_and_limit_in_words() -> None:
    assert clusters._state({"state": "removed", "deadline_ms": None}) == "gone"
    assert clusters._state({"state": "draining", "deadline_ms": None}) == "draining"
    assert clusters._state({"state": "draining", "deadline_ms": NOW_MS}).startswith("draining until ")
    assert clusters._limit(None, False) == "none"
    assert clusters._limit(8, True) == "8 (adaptive)"
