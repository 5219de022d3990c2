"""Every broken variant of `mutants` and `mutants_set_aside` is caught by the test that promises what it takes out."""

from __future__ import annotations

import pytest

from contract.chain import Damaged
from contract.lifecycle import IllegalTransition
from tests.unit.scheduling import mutants, mutants_set_aside

MUTANTS = mutants.MUTANTS | mutants_set_aside.MUTANTS

CAUGHT = (AssertionError, IllegalTransition, Damaged, pytest.fail.Exception)
"""A promise that is not kept, or a state that evolve refuses to enter."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_variant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks, promise = MUTANTS[name]
    promise()
    breaks(monkeypatch)
    with pytest.raises(CAUGHT):
        promise()
