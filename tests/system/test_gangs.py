"""Gangs on the whole stack: on one node and on two, with a rank killed, cancelled; and all of it in the ledger."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gang_model import gang_model
from tests.system.installation import Installation
from tests.waiting import until

ONE_NODE, TWO_NODES = "gang-of-2", "gang-of-3"


@pytest.fixture(scope="module")
def gangs(two_nodes: Installation, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Two nodes of two slots: a gang of 2 fits on one, a gang of 3 needs both."""
    models = tmp_path_factory.mktemp("models")
    for name, ranks in ((ONE_NODE, 2), (TWO_NODES, 3)):
        two_nodes.json("models", "publish", str(gang_model(models / name, name, ranks)))
    return two_nodes


def result_of(here: Installation, model: str) -> Any:
    found = here.json("jobs", "submit", model, "--wait")
    assert (found["job"]["state"], found["job"]["attempts"]) == ("succeeded", 1)
    return found["result"]


def running(here: Installation, *, sleep_ms: int) -> str:
    """A gang of three whose ranks all have a child."""
    job: str = here.json("jobs", "submit", TWO_NODES, "--input", f"sleep_ms={sleep_ms}")["job"]
    until(lambda: children(here) == [2, 1], "three ranks have a child, two of them on the first node", 30)
    return job


def children(here: Installation) -> list[int]:
    """How many model processes each node has."""
    return [len(here.model_processes(name)) for name in ("node-1", "node-2")]


def test_two_ranks_on_one_node_give_one_result(gangs: Installation) -> None:
    result = result_of(gangs, ONE_NODE)
    assert result["values"] == {"sum": [3, 20], "world": 2}
    assert [file["name"] for file in result["files"]] == ["rank.txt"]


def test_three_ranks_on_two_nodes_give_one_result(gangs: Installation) -> None:
    assert result_of(gangs, TWO_NODES)["values"] == {"sum": [6, 30], "world": 3}
    until(lambda: children(gangs) == [0, 0], "no rank is left", 30)


@pytest.mark.parametrize("node", ["node-1", "node-2"])
def test_a_rank_that_is_killed_fails_the_attempt_everywhere_and_the_next_succeeds(
    gangs: Installation, node: str
) -> None:
    job = running(gangs, sleep_ms=2000)
    assert gangs.kill_child(node)
    assert gangs.cli("jobs", "watch", job).returncode == 0
    found = gangs.json("jobs", "get", job)
    assert [(attempt["state"], attempt["failure"], attempt["error"]) for attempt in found["attempts"]] == [
        ("failed", "child_died", "Signal9"),
        ("succeeded", "", ""),
    ]
    assert found["result"]["values"] == {"sum": [6, 30], "world": 3}


def test_a_cancelled_gang_ends_everywhere(gangs: Installation) -> None:
    job = running(gangs, sleep_ms=600_000)
    assert gangs.cli("jobs", "cancel", job).returncode == 0
    until(lambda: gangs.json("jobs", "get", job)["job"]["state"] == "cancelled", "the job is cancelled", 30)
    until(lambda: children(gangs) == [0, 0], "no rank is left", 30)
    assert result_of(gangs, TWO_NODES)["values"]["world"] == 3


def test_what_gangs_did_is_decided_the_same_again(gangs: Installation) -> None:
    assert [verdict["findings"] for verdict in gangs.json("audit", "verify")] == [[]]
