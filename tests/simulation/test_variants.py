"""Each mechanism is needed: without it, the simulation finds a violation within 500 seeds."""

from __future__ import annotations

import pytest

from tests.simulation.variants import VARIANTS, first_catch

SEEDS_MAX = 500


@pytest.mark.parametrize("name", VARIANTS)
def test_a_broken_variant_is_caught(name: str) -> None:
    caught = first_catch(VARIANTS[name], SEEDS_MAX)
    assert caught is not None, f"{name} passed {SEEDS_MAX} seeds"
    assert caught.invariant != "crash", caught.failure
