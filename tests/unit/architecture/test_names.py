"""One word, one meaning: a class name stands for one thing in the whole product."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.unit.architecture.product import ROOT, SOURCES


def class_names() -> dict[str, list[str]]:
    """The files that define a class of this name at their top level, by name."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                found[node.name.lstrip("_")].append(str(path.relative_to(ROOT)))
    return found


def test_no_class_name_stands_for_two_things() -> None:
    assert {name: files for name, files in class_names().items() if len(files) > 1} == {}
