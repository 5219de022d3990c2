"""What a mutant is, and whether it still fits the tree."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Mutant(NamedTuple):
    """One rule of the shell, taken out."""

    name: str
    """What no longer holds."""
    file: str
    """Below the root of the repository."""
    text: str
    """Stands in the file exactly once."""
    instead: str
    test: str
    """The test that must go red, as pytest names it: `path::function`, `path::Class::function[case]`."""

    def fault(self, root: Path) -> str:
        """Why the mutant cannot be tried in this tree, and what to do; empty when it can be."""
        file = root / self.file
        if not file.is_file():
            return f"expected {self.file}, found no such file; name the file that has the rule now"
        found = text_of(file).count(self.text)
        if found != 1:
            return (
                f"expected its text once in {self.file}, found it {found} times; write the text that has the rule now"
            )
        if self.instead == self.text:
            return "expected another text in place of its text, found the same one; write what breaks the rule"
        if not is_test(root, self.test):
            return f"expected the test {self.test}, found none; name the test that promises the rule now"
        return ""


def is_test(root: Path, test: str) -> bool:
    """Whether there is a test that pytest names so."""
    file, _, name = test.partition("::")
    return (root / file).is_file() and name.partition("[")[0].rpartition("::")[2] in _tests_of(root, file)


def _tests_of(root: Path, file: str) -> frozenset[str]:
    """Those of a module, and of the classes of tests.twin from which its classes inherit."""
    inherited = re.findall(r"^from tests\.twin\.(\w+) import", text_of(root / file), re.MULTILINE)
    return tests_in(root / file).union(*(tests_in(root / f"tests/twin/{name}.py") for name in inherited))


@cache
def text_of(file: Path) -> str:
    return file.read_text()


@cache
def tests_in(file: Path) -> frozenset[str]:
    """Names of the test functions of a test module."""
    return frozenset(re.findall(r"^ *(?:async )?def (test_\w+)\(", text_of(file), re.MULTILINE))
