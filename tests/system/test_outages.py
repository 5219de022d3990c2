"""Each server away for a minute under load; `python -m tests.system.outages` has it away for as long as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.outages.findings import OUTAGES
from tests.system.outages.run import run


@pytest.mark.long
@pytest.mark.parametrize("server", OUTAGES)
def test_an_outage_of_ours_ends_nothing_fails_nothing_and_fills_no_memory(tmp_path: Path, server: str) -> None:
    run(tmp_path, server, 60.0).require_clean()
