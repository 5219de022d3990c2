"""A stack whose supervisor is killed. (`headrace up` and `down` as they should be used: test_readme.py.)"""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.system.installation import installation


def test_a_killed_supervisor_takes_every_process_along_and_its_data_is_picked_up(tmp_path: Path) -> None:
    with installation(tmp_path) as here:
        here.publish_noop()
        running = here.processes()
        running[0].kill()
        _, alive = psutil.wait_procs(running, timeout=10)
        assert alive == []
        here.start()
        assert here.json("jobs", "submit", "noop", "--wait")["job"]["state"] == "succeeded"
