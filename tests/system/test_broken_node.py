"""Case C5: a node that fails every job at once is faster than the one that runs them, and takes most of them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from contract.signers import node_signer
from contract.signing import installation_keys
from tests.system.installation import POLICY, Installation, installation, wait_ended
from tests.waiting import until

CARD = Path(__file__).parent / "cases" / "card"
JOBS = 24
BROKEN = "broken-1"


@contextmanager
def broken_node(here: Installation, folder: Path) -> Iterator[None]:
    """A second machine beside node-1, on which the model fails: it looks at the PATH."""
    first = psutil.Process(here.pid("node-1"))
    signing = installation_keys(here.layout.installation_keys.read_text())[0].of(node_signer("local", BROKEN))
    command = [BROKEN if word == "node-1" else word for word in first.cmdline()]
    environment = first.environ()
    environment |= {
        "PATH": f"{folder / 'broken'}:{environment['PATH']}",
        "HEADRACE_DATA": str(folder),
        "HEADRACE_METRICS_PORT": "0",
        "HEADRACE_NODE_ADDRESS": "",
        "HEADRACE_SIGNER": signing.signer,
        "HEADRACE_SIGNING_KEY": signing.text,
    }
    with (folder / "node.log").open("wb") as log:
        node = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        node.terminate()
        node.wait(60)


def state_of(here: Installation, name: str) -> dict[str, object]:
    found = here.json("clusters", "list")["nodes"]
    return next((node for node in found if node["node"] == name), {})


def test_a_broken_node_is_set_aside_and_no_job_dies_of_it(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.read_text().replace("failures_max: 50", "failures_max: 4"))
    with installation(tmp_path / "stack", policy=policy, slots=1) as here:
        published = here.cli("models", "publish", str(CARD))
        assert published.returncode == 0, published.stderr
        folder = tmp_path / "second"
        folder.mkdir()
        with broken_node(here, folder), here.api() as client:
            until(lambda: state_of(here, BROKEN).get("state") == "ready", "the broken node joined")
            jobs = [client.post("/v1/jobs", {"model": "card", "inputs": {"s": 0.3}})["job"] for _ in range(JOBS)]
            ended = wait_ended(client, jobs, 120)
            assert {found["state"] for found in ended.values()} == {"succeeded"}
            failures = [found["failures"] for found in ended.values()]
            assert max(failures) == 1, "each job met the broken node once at most, and some did"
            assert state_of(here, BROKEN)["cordoned"] == "failures"
            assert state_of(here, "node-1")["cordoned"] == ""
            listed = here.cli("clusters", "list")
            assert "suspect: jobs failed there" in listed.stdout
        assert [verdict["findings"] for verdict in here.json("audit", "verify")] == [[]]
