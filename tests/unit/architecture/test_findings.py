"""docs/security-findings.md names tests that exist, for every finding of the security review."""

from __future__ import annotations

import re

from tests.mutants.mutant import is_test
from tests.unit.architecture.product import ROOT

ROWS = re.findall(r"^\| (\d+) \|(.*)\|$", (ROOT / "docs" / "security-findings.md").read_text(), re.MULTILINE)
FINDINGS = 24
TEST = re.compile(r"`(tests/[\w/]+\.py::\w+)`")


def test_every_finding_has_a_row_with_tests_or_an_answer() -> None:
    assert [int(number) for number, _ in ROWS] == list(range(1, FINDINGS + 1))
    assert [
        number for number, row in ROWS if not TEST.search(row) and not re.search(r"\| (open|answered)\b", row)
    ] == []


def test_every_test_that_a_row_names_exists() -> None:
    named = [test for _, row in ROWS for test in TEST.findall(row)]
    assert len(named) > FINDINGS, "this check can fail"
    assert [test for test in named if not is_test(ROOT, test)] == []
