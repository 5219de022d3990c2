"""The architecture stays visible: what the folders promise, checked."""

from __future__ import annotations

import ast
import importlib.metadata
import subprocess
from pathlib import Path

import pytest

from tests.unit.architecture.product import PACKAGES, ROOT, SOURCES

LINES_MAX = 400
"""Files are of one noun, usually under 300 lines; past this one holds two."""
IMPURE = {"time", "datetime", "random", "os", "asyncio", "logging", "uuid", "socket", "threading", "secrets", "pathlib"}


def test_no_dependency_brings_a_module_of_our_name() -> None:
    taken = [
        (module, distribution.name)
        for distribution in importlib.metadata.distributions()
        for module in sorted(modules_of(distribution) & set(PACKAGES))
    ]
    assert [pair for pair in taken if pair[1] != "headrace"] == []


def modules_of(distribution: importlib.metadata.Distribution) -> set[str]:
    """Of its record. (`distribution.files` also looks for each of 10,000 files on the disk.)"""
    files = [line.split(",", 1)[0] for line in (distribution.read_text("RECORD") or "").splitlines()]
    return {file.split("/", 1)[0].removesuffix(".py") for file in files if file.endswith(".py")}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_says_what_lives_there(package: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text()))
    assert docstring is not None
    assert len(docstring) > 80


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_of_one_noun(path: Path) -> None:
    assert path.stem not in {"utils", "util", "common", "helpers", "misc", "manager"}
    assert len(path.read_text().splitlines()) <= LINES_MAX


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if path.relative_to(ROOT).parts[0] in ("contract", "scheduling")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_core_is_pure(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported & IMPURE == set()
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") in ("open", "print")]


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name.decode() for name in listed.split(b"\0") if name]


def test_nothing_else_lies_in_the_repository() -> None:
    """A data folder of a stack that was tried here once came in with `git add -A`: 47 files of a broker's logs."""
    folders = {path.relative_to(ROOT).parts[0] for path in _tracked() if path.parent != ROOT}
    assert folders == {*PACKAGES, ".ci", "bench", "docs", "examples", "tests"}


def test_no_package_registry_host_is_named() -> None:
    hosts = [
        "pypi" + ".org",
        "maven" + ".org",
        "npm" + "js.",
        "crates" + ".io",
        "debian" + ".org",
        "pytorch" + ".org/whl",
    ]
    named = [
        (str(path.relative_to(ROOT)), host)
        for path in _tracked()
        if path.is_file()
        and path.suffix in {".py", ".md", ".yaml", ".yml", ".toml", ".xml", ".lock", ".txt", ".in", ""}
        for host in hosts
        if host in path.read_text(errors="ignore")
    ]
    assert named == []
