"""An outage of ours costs no attempt: the broker is down for longer than a node's lease."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.system.installation import installation, wait_ended, wait_until

LEASE_S = 4.0
"""node_lease in policy.yaml."""


def test_the_broker_stands_still_under_running_attempts_and_none_is_lost(tmp_path: Path) -> None:
    """Stopped (SIGSTOP), so that it comes back as it was; `kill -9` of it is in the fault script."""
    with installation(tmp_path) as here, here.api() as client:
        here.publish_noop()
        jobs = [here.json("jobs", "submit", "noop", "--input", "sleep_ms=15000")["job"] for _ in range(2)]
        wait_until(
            lambda: all(client.get(f"/v1/jobs/{job}")["job"]["state"] == "started" for job in jobs), 30, "both started"
        )
        broker = here.pid("kafka")
        os.kill(broker, signal.SIGSTOP)
        time.sleep(2.5 * LEASE_S)  # the outage itself
        os.kill(broker, signal.SIGCONT)
        ended = wait_ended(client, jobs, 60)
        assert {found["state"] for found in ended.values()} == {"succeeded"}
        assert {found["attempts"] for found in ended.values()} == {1}, "no attempt was given up"
        assert [verdict["findings"] for verdict in here.json("audit", "verify")] == [[]]
