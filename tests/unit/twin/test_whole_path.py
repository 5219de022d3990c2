"""Scheduler, intake, projector and nodes on one twin: what was promised is done once, and all books agree.

`python -m tests.twin` runs as many seeds as there is time for.
"""

from __future__ import annotations

import pytest

from tests.twin.troubles import DRAWS
from tests.twin.whole_path import run_seed


@pytest.mark.parametrize("seed", range(2))
def test_whatever_befalls_all_is_done_once_and_the_books_agree(seed: int) -> None:
    troubles = run_seed(seed, seconds=20)
    assert sum(troubles.befell.values()) > 3
    assert set(troubles.befell) <= {draw.__name__.strip("_") for draw in DRAWS}
