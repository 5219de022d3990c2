"""Processes that leave their group end with the child from which they came, whatever way they left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runtime.worker.cgroups import ChildCgroups, own_cgroup
from runtime.worker.scratch import Scratch
from tests.process.gpu_worker.slot_bench import alive
from tests.waiting import until


def printed(scenario: str, tmp_path: Path) -> str:
    """The last that an agent's process printed of this scenario."""
    return subprocess.run(
        [sys.executable, "-m", "tests.process.gpu_worker.stray_bench", str(tmp_path), scenario],
        stdout=subprocess.PIPE,
        check=scenario != "killed",
        timeout=60,
        text=True,
    ).stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("scenario", "found"),
    [
        ("switch", {"while its model lives": True, "after": False}),
        ("death", {"error": "Exit3", "after": False}),
        ("disowned", {"after": False, "slot": True}),
        ("comet", {"over": True, "cgroups": 0}),
        ("own", {"ours": True, "others": []}),
    ],
)
def test_what_a_model_detached_ends_with_its_child(scenario: str, found: Any, tmp_path: Path) -> None:
    assert msgspec.json.decode(printed(scenario, tmp_path)) == found


def test_what_an_agent_that_was_killed_left_is_ended_by_the_next(tmp_path: Path) -> None:
    pid = int(printed("killed", tmp_path))
    assert alive(pid)
    scratch = Scratch(tmp_path / "scratch")
    scratch.end_strays()
    scratch.close()
    until(lambda: not alive(pid), "it is ended")
    base = own_cgroup()
    if base is not None:
        groups = ChildCgroups(base)
        groups.end_former()

        def are_gone() -> bool:
            groups.clear()
            return not groups.ended

        until(are_gone, "its cgroups are gone")
