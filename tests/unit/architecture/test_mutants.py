"""Mutants of the shell fit the tree: each text stands where its mutant says, and each test is there. (Whether the tests
catch them is tried by `python -m tests.mutants`.)"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.mutants.mutant import Mutant
from tests.mutants.tables import MUTANTS
from tests.unit.architecture.product import ROOT


def test_every_mutant_can_be_tried() -> None:
    assert [(mutant.name, fault) for mutant in MUTANTS if (fault := mutant.fault(ROOT))] == []


def test_no_two_mutants_have_one_name_or_are_the_same() -> None:
    for twice in (Counter(mutant.name for mutant in MUTANTS), Counter(mutant[1:4] for mutant in MUTANTS)):
        assert [found for found, number in twice.items() if number > 1] == []


def test_what_does_not_fit_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "rule.py").write_text("if full:\n    wait()\nif full:\n    tell()\n")
    (tmp_path / "test_rule.py").write_text("def test_it() -> None: ...\nasync def test_that() -> None: ...\n")
    good = Mutant("nobody waits", "rule.py", "    wait()\n", "    pass\n", "test_rule.py::test_it[case]")
    assert good.fault(tmp_path) == good._replace(test="test_rule.py::Class::test_that").fault(tmp_path) == ""
    faults = [
        good._replace(file="gone.py"),
        good._replace(text="if full:\n"),
        good._replace(text="gone"),
        good._replace(instead="    wait()\n"),
        good._replace(test="test_rule.py::test_gone"),
        good._replace(test="gone.py::test_it"),
    ]
    assert [mutant.fault(tmp_path).partition("; ")[2].partition(" ")[0] for mutant in faults] == [
        "name",
        "write",
        "write",
        "write",
        "name",
        "name",
    ]
