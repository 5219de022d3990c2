"""`headrace pools hold|release|list` and `headrace clusters cordon|uncordon`: what is said where, what people read."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cli import clusters, pools
from cli.main import run
from contract.inputs import HoldRequested, NodeCordonRequested, NodeUncordonRequested, ReleaseRequested
from contract.policy import Cluster, Policy, Pool, Tier
from registry import operators
from tests.unit.cli.answers import Answers

POLICY = Policy({"api": Tier(1_000)}, {"main": Pool(0), "other": Pool(1)}, {"far": Cluster("other", 4)})
NODE = {"node": "n1", "pool": "other", "cluster": "far", "state": "ready", "cordoned": "", "holding": "", "usable": 1}
FACTS = {"chipset": "cpu", "slots": 2, "running": 0, "staged": 0, "loaded": [], "heard_ms": 1}


class Installation:
    """An API whose views follow each order at once."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, list[int]]] = []
        self.held = {"main": False, "other": False}
        self.node: dict[str, Any] = {**NODE, **FACTS}
        self.others: list[dict[str, Any]] = []

    def get(self, path: str) -> dict[str, Any]:
        if path == "/v1/nodes":
            return {"nodes": [*self.others, self.node]}
        if path == "/v1/clusters":
            return {"clusters": []}
        policy = msgspec.to_builtins(POLICY)
        shown = {"offset": 7, "release": "test", "rules": 4}
        return {
            "policies": [{"pool": pool, "policy": policy} for pool in POLICY.pools],
            "pools": [{"pool": pool, "held": held, **shown} for pool, held in self.held.items()],
            "waiting": [],
        }

    def say(self, settings: object, record: Any, partitions: list[int], source: str) -> None:
        self.said.append((record, partitions))
        if isinstance(record, HoldRequested | ReleaseRequested):
            self.held["other"] = isinstance(record, HoldRequested)
        else:
            self.node["cordoned"] = "operator" if isinstance(record, NodeCordonRequested) else ""


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Installation:
    installation = Installation()
    for module in (clusters, pools):
        monkeypatch.setattr(module, "api", lambda data, operator: Answers(installation.get))
        monkeypatch.setattr(module, "settings", lambda data: None)
    monkeypatch.setattr(operators, "send", installation.say)
    return installation


def test_a_pool_is_held_once_listed_and_released(there: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pools", "hold", "other"]) == 0
    assert run(["pools", "hold", "other"]) == 0
    assert there.said == [(HoldRequested(), [1])]
    assert "pool other is on hold" in capsys.readouterr().out
    assert run(["pools", "list"]) == 0
    assert "on hold" in capsys.readouterr().out
    assert run(["pools", "release", "other"]) == 0
    assert there.said[1:] == [(ReleaseRequested(), [1])]
    assert "pool other starts jobs" in capsys.readouterr().out


def test_an_unknown_pool_and_an_unknown_node_are_wrong_use(
    there: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["pools", "hold", "nowhere"]) == 2
    assert "expected a pool with a policy in force (main, other), found 'nowhere'" in capsys.readouterr().err
    assert run(["clusters", "cordon", "n9"]) == 2
    assert "expected a node that has joined (far/n1), found 'n9'" in capsys.readouterr().err
    assert there.said == []


def test_a_node_is_cordoned_in_its_own_pool_and_lifted(there: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["clusters", "cordon", "n1"]) == 0
    assert "n1 of cluster far is cordoned" in capsys.readouterr().out
    assert run(["clusters", "uncordon", "n1"]) == 0
    assert "n1 of cluster far takes work" in capsys.readouterr().out
    assert there.said == [(NodeCordonRequested("n1"), [1]), (NodeUncordonRequested("n1"), [1])]


def test_of_two_pools_nodes_with_one_name_none_is_cordoned_by_chance(
    there: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    there.others = [{**there.node, "pool": "main", "cluster": "east"}]
    assert run(["clusters", "cordon", "n1"]) == 2
    assert (
        "expected one node, with its cluster before its name (east/n1, far/n1), found 'n1'" in capsys.readouterr().err
    )
    assert there.said == []
    assert run(["clusters", "cordon", "far/n1"]) == 0
    assert there.said == [(NodeCordonRequested("n1"), [1])]


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"cordoned": "failures"}, "suspect: jobs failed there"),
        ({"cordoned": "operator"}, "cordoned"),
        ({"holding": "disk"}, "holds off: disk"),
        ({}, "1 of 2"),
    ],
)
def test_the_list_says_what_is_set_aside(
    there: Installation, capsys: pytest.CaptureFixture[str], facts: dict[str, str], shown: str
) -> None:
    there.node |= facts
    assert run(["clusters", "list"]) == 0
    assert shown in " ".join(capsys.readouterr().out.split())
