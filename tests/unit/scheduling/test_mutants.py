"""Every broken variant of `mutants`, `mutants_set_aside`, `mutants_access` and `mutants_preparing` is caught by the
test that promises what it takes out.

That the promise holds without the variant is not shown again here: a promise is a test that runs by itself, with the
same argument if it has one.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from contract.chain import Damaged
from contract.lifecycle import IllegalTransition
from tests.unit.scheduling import mutants, mutants_access, mutants_preparing, mutants_set_aside

MUTANTS = mutants.MUTANTS | mutants_set_aside.MUTANTS | mutants_access.MUTANTS
MUTANTS |= mutants_preparing.MUTANTS

CAUGHT = (AssertionError, IllegalTransition, Damaged, pytest.fail.Exception)
"""A promise that is not kept, or a state that evolve refuses to enter."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_variant_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    breaks, promise = MUTANTS[name]
    breaks(monkeypatch)
    with pytest.raises(CAUGHT):
        promise()


@pytest.mark.parametrize("name", MUTANTS)
def test_a_promise_is_a_test_that_runs_by_itself(name: str) -> None:
    promise: Any = MUTANTS[name][1]
    test = promise.func if isinstance(promise, partial) else promise
    arguments = list(promise.args) if isinstance(promise, partial) else []
    assert test.__name__.startswith("test_")
    marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
    assert len(marks) == len(arguments)
    assert all(argument in mark.args[1] for mark, argument in zip(marks, arguments, strict=True))
