"""A node that falls silent while idle gets no job after its lease, and joins again by itself when it is back."""

from __future__ import annotations

import os
import signal

from tests.system.installation import Installation, wait_ended
from tests.waiting import until


def node(here: Installation, name: str) -> dict[str, object]:
    with here.api(operator=True) as client:
        return next(found for found in client.get("/v1/nodes")["nodes"] if found["node"] == name)


def test_a_silent_node_gets_nothing_after_its_lease_and_rejoins_by_itself(two_nodes: Installation) -> None:
    """Silent by SIGSTOP: it is alive when it is declared lost, as behind a network that was cut."""
    here = two_nodes
    with here.api() as client:
        until(lambda: {node(here, f"node-{n}")["state"] for n in (1, 2)} == {"ready"}, "both nodes joined", 30)
        session = node(here, "node-1")["session"]
        os.kill(here.pid("node-1"), signal.SIGSTOP)
        try:
            until(lambda: node(here, "node-1")["state"] == "lost", "the silent node is declared lost", 60)
            jobs = [here.json("jobs", "submit", "noop")["job"] for _ in range(6)]
            ended = wait_ended(client, jobs, 60)
            assert {found["state"] for found in ended.values()} == {"succeeded"}
            assert {found["attempts"] for found in ended.values()} == {1}, "none was given to the silent node"
        finally:
            os.kill(here.pid("node-1"), signal.SIGCONT)
        until(
            lambda: node(here, "node-1")["state"] == "ready" and node(here, "node-1")["session"] != session,
            "it joined again with a new session",
            60,
        )
        assert [verdict["findings"] for verdict in here.json("audit", "verify")] == [[]]
