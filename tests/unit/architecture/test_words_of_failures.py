"""The repr of an exception may hold what it failed on: that of a UnicodeDecodeError holds every byte."""

from __future__ import annotations

import re

import pytest

from tests.unit.architecture.product import ROOT, SOURCES


def whole_texts(code: str) -> list[str]:
    """Each place where the code makes the whole text of an exception that it caught."""
    caught = "|".join({"error", "failure", *re.findall(r"except [^\n:]+ as (\w+):", code)})
    return re.findall(
        rf"\brepr\((?:{caught})\)|\{{(?:{caught})!r\}}|\blog\.exception\(|\bexc_info=|\b(?:print_exc|format_exc)\(",
        code,
    )


def test_no_failure_is_told_with_its_whole_text() -> None:
    found = {(str(path.relative_to(ROOT)), place) for path in SOURCES for place in whole_texts(path.read_text())}
    assert found == set(), "runtime.telemetry.without_words tells the class and the place"


@pytest.mark.parametrize(
    "code", ["found=repr(x)", "f'{x!r}'", "f'{failure!r}'", "log.exception('a')", "exc_info=True", "print_exc()"]
)
def test_such_a_place_is_found(code: str) -> None:
    assert whole_texts(f"except ValueError as x:\n    {code}")
