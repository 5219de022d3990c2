"""Migrations stand in one row: two branches that are merged may each have brought one with the same number."""

from __future__ import annotations

import re
from pathlib import Path

VERSIONS = Path(__file__).parents[3] / "migrations" / "versions"


def number(text: str, name: str) -> str:
    found = re.search(rf'^{name} = "?(\w+)"?$', text, re.MULTILINE)
    assert found is not None
    return found[1]


def test_each_migration_follows_the_one_before_by_its_number() -> None:
    before = "None"
    for at, file in enumerate(sorted(VERSIONS.glob("*.py")), start=1):
        text = file.read_text()
        assert file.name.startswith(f"{at:04d}_")
        assert (number(text, "revision"), number(text, "down_revision")) == (f"{at:04d}", before)
        before = f"{at:04d}"
