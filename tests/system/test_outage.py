"""An outage of ours costs no attempt: the broker is down for longer than a node's lease."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.system.installation import NOOP, POLICY, installation, wait_ended
from tests.waiting import until

OUTAGE_S = 60.0
"""Twice the lease. (A lease must be well above the 10 s that one batch may count of an outage.)"""


def patient_noop(directory: Path) -> Path:
    """The noop model with a time limit well above the outage."""
    shutil.copytree(NOOP, directory)
    description = directory / "model.yaml"
    description.write_text(description.read_text().replace("timeout_s: 60", "timeout_s: 600"))
    return directory


@pytest.mark.long
def test_the_broker_stands_still_under_running_attempts_and_none_is_lost(tmp_path: Path) -> None:
    """Stopped (SIGSTOP), so that it comes back as it was; `kill -9` of it is in the fault script."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.read_text().replace("node_lease: 4s", "node_lease: 30s"))
    with installation(tmp_path / "data", policy=policy) as here, here.api() as client:
        here.json("models", "publish", str(patient_noop(tmp_path / "noop")))
        jobs = [here.json("jobs", "submit", "noop", "--input", "sleep_ms=75000")["job"] for _ in range(2)]
        until(
            lambda: all(client.get(f"/v1/jobs/{job}")["job"]["state"] == "started" for job in jobs), "both started", 30
        )
        broker = here.pid("kafka")
        os.kill(broker, signal.SIGSTOP)
        time.sleep(OUTAGE_S)  # the outage itself
        os.kill(broker, signal.SIGCONT)
        ended = wait_ended(client, jobs, 90)
        assert {found["state"] for found in ended.values()} == {"succeeded"}
        assert {found["attempts"] for found in ended.values()} == {1}, "no attempt was given up"
        assert [verdict["findings"] for verdict in here.json("audit", "verify")] == [[]]
