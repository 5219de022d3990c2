"""`headrace up` and `down`: data survives, no process does."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.system.installation import installation


def test_data_survives_a_restart_and_no_process_survives_down(tmp_path: Path) -> None:
    with installation(tmp_path) as here:
        here.publish_noop()
        job = here.json("jobs", "submit", "noop", "--wait")["job"]["job"]
        api_url = here.json("status")["api_url"]
        running = here.processes()
        assert len(running) > 8
        assert here.cli("down").returncode == 0
        _, alive = psutil.wait_procs(running, timeout=10)
        assert alive == []
        assert here.cli("status").returncode == 1
        here.start()
        assert here.json("status")["api_url"] == api_url
        assert here.json("jobs", "get", job)["job"]["state"] == "succeeded"
        assert here.json("jobs", "submit", "noop", "--wait")["job"]["state"] == "succeeded"
        assert [verdict["findings"] for verdict in here.json("audit", "verify")] == [[]]


def test_a_killed_supervisor_takes_every_process_along_and_its_data_is_picked_up(tmp_path: Path) -> None:
    with installation(tmp_path) as here:
        here.publish_noop()
        running = here.processes()
        running[0].kill()
        _, alive = psutil.wait_procs(running, timeout=10)
        assert alive == []
        here.start()
        assert here.json("jobs", "submit", "noop", "--wait")["job"]["state"] == "succeeded"
