"""The short form of the seeded fault script; `python -m tests.system.faults` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.faults.run import run


@pytest.mark.long
@pytest.mark.parametrize("seed", [1])
def test_kills_at_random(tmp_path: Path, seed: int) -> None:
    run(tmp_path, seed, jobs=120, kills=8, faults=8)
