"""What tests of fetching and storing share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_worker.io.checker_process import Checkers
from tests.unit.gpu_worker.results_bench import Table


@pytest.fixture(scope="module")
def checkers() -> Iterator[Checkers]:
    checkers = Checkers()
    yield checkers
    checkers.close()


@pytest.fixture
def table(tmp_path: Path, checkers: Checkers) -> Table:
    return Table(tmp_path, checkers)
