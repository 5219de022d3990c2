"""What the tests promise of themselves, checked."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parents[2]


def imported_by(path: Path) -> set[str]:
    """Dotted names of all that the file imports: modules, and what is taken out of modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def is_test_module(name: str) -> bool:
    return name.startswith("tests.") and any(part.startswith("test_") for part in name.split("."))


def test_no_test_module_imports_another() -> None:
    """What two test modules share lies in a plainly named module beside them. Whoever imports a test module gets its
    hypothesis settings too, and waits for its import. (`mutants.py` is no test module: it runs the tests of others.)"""
    importing = [*TESTS.rglob("test_*.py"), *TESTS.rglob("conftest.py")]
    imports = {
        str(path.relative_to(TESTS.parent)): sorted(filter(is_test_module, imported_by(path)))
        for path in sorted(importing)
    }
    assert {path: names for path, names in imports.items() if names} == {}
