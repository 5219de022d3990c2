"""A node that falls silent while idle gets no job after its lease, and joins again by itself when it is back. A second
machine with a node's name stays out."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil

from runtime.worker.node import REFUSED
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


def test_a_second_machine_of_one_name_stays_out_and_the_jobs_of_the_first_finish(
    two_nodes: Installation, tmp_path: Path
) -> None:
    """Such a pair lost each other's jobs until all were dead-lettered (case C6)."""
    here = two_nodes
    until(lambda: node(here, "node-1")["state"] == "ready", "the node joined", 60)
    session = node(here, "node-1")["session"]
    jobs = [here.json("jobs", "submit", "noop", "--input", "sleep_ms=3000")["job"] for _ in range(8)]
    first = psutil.Process(here.pid("node-1"))
    second = subprocess.run(
        first.cmdline(),
        env=first.environ() | {"HEADRACE_DATA": str(tmp_path), "HEADRACE_METRICS_PORT": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
        text=True,
    )
    assert second.returncode == REFUSED, second.stdout
    assert "this node stays out: expected its name to be its own" in second.stdout
    with here.api() as client:
        ended = wait_ended(client, jobs, 60)
        closed = {attempt["closed"] for job in jobs for attempt in client.get(f"/v1/jobs/{job}")["attempts"]}
    assert {(found["state"], found["failures"]) for found in ended.values()} == {("succeeded", 0)}
    assert closed <= {"", "recalled"}, "no attempt was lost; one that waited behind others may move to a free slot"
    assert node(here, "node-1")["session"] == session
