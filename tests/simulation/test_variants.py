"""Each mechanism is needed: without it, the simulation finds a violation within 500 seeds."""

from __future__ import annotations

import pytest

from tests.simulation import variants_preparing
from tests.simulation.variants import CAUGHT_BY, VARIANTS, first_catch

SEEDS_MAX = 500
ALL = VARIANTS | variants_preparing.VARIANTS
"""By name."""
HINTS = CAUGHT_BY | variants_preparing.CAUGHT_BY


@pytest.mark.parametrize("name", ALL)
def test_a_broken_variant_is_caught(name: str) -> None:
    caught = first_catch(ALL[name], SEEDS_MAX, HINTS.get(name, 0))
    assert caught is not None, f"{name} passed {SEEDS_MAX} seeds"
    assert caught.invariant != "crash", caught.failure
