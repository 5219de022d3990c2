"""Compiles what a version imports: `python -I -S import_compiler.py ROOT CODE`, run by the base interpreter of an
environment. Prints how many files it compiled.

ROOT is where the environment's packages lie, CODE the version's own. What those modules import when they are imported
themselves is followed through ROOT, file by file, and each of these files is compiled beside itself. Nothing of the
environment runs: imports are read off the syntax tree. What a module imports in a function, or by name, is not found; a
child compiles that for itself each time it starts.

An environment with torch has 6,000 files, of which a model imports 1,100: compiling all of them takes five times as
long. Standard library only: the version of Python is the environment's.
"""

from __future__ import annotations

import ast
import importlib._bootstrap_external as external
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

SOURCE_BYTES_MAX = 4 * 1024**2
"""A larger file is left alone: no module that somebody wrote is as large."""
WORKERS = 2
PIECE = 40
"""Modules that a worker is given at a time."""

LATER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
"""What is in these is not run by an import."""


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Names of the modules that this one imports when it is imported, and of what may be one. `package`: in which the
    module is."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif not isinstance(node, LATER) and not is_for_checkers(node):
            waiting += ast.iter_child_nodes(node)


def is_for_checkers(node: ast.AST) -> bool:
    """`if TYPE_CHECKING:`"""
    if not isinstance(node, ast.If):
        return False
    name = node.test.attr if isinstance(node.test, ast.Attribute) else getattr(node.test, "id", "")
    return name == "TYPE_CHECKING"


def place_of(root: str, name: str) -> tuple[str, str]:
    """The file of this module below the root, and its package; ("", "") when there is no such file."""
    path = os.path.join(root, *name.split("."))  # noqa: PTH118 (thousands of them)
    if os.path.isfile(f"{path}/__init__.py"):  # noqa: PTH113
        return f"{path}/__init__.py", name
    return (f"{path}.py", name.rpartition(".")[0]) if os.path.isfile(f"{path}.py") else ("", "")  # noqa: PTH113


def compiled(file: str, package: str, *, is_written: bool = True) -> set[str]:
    """Compile the file. Names of what it imports; none when it cannot be compiled, which its import will tell."""
    try:
        status = os.lstat(file)
        if status.st_size > SOURCE_BYTES_MAX:
            return set()
        source = Path(file).read_bytes()
        tree = ast.parse(source, file)
        if is_written:
            code = compile(tree, file, "exec", dont_inherit=True)
            pyc: Any = external._code_to_timestamp_pyc(code, int(status.st_mtime), status.st_size)  # type: ignore[attr-defined]
            target = Path(importlib.util.cache_from_source(file))
            target.parent.mkdir(exist_ok=True)
            target.unlink(missing_ok=True)
            target.write_bytes(pyc)
        return set(imported(tree, package))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return set()


def compile_all(root: str, files: list[tuple[str, str]]) -> set[str]:
    """What these import."""
    warnings.simplefilter("ignore")
    return {name for file, package in files for name in compiled(file, package)}


def with_parents(names: set[str]) -> set[str]:
    return {".".join(parts[:end]) for parts in (name.split(".") for name in names) for end in range(1, len(parts) + 1)}


def main(root: str, code: str) -> int:
    warnings.simplefilter("ignore")
    names: set[str] = set()
    for file in Path(code).rglob("*.py"):
        names |= compiled(str(file), "", is_written=False)
    seen: set[str] = set()
    files: set[str] = set()
    running: set[Future[set[str]]] = set()
    with ProcessPoolExecutor(WORKERS) as workers:
        while names or running:
            new = with_parents(names) - seen
            seen |= new
            found = [place for place in (place_of(root, name) for name in sorted(new)) if place[0]]
            found = [place for place in found if place[0] not in files]
            files |= {file for file, _ in found}
            running |= {
                workers.submit(compile_all, root, found[start : start + PIECE]) for start in range(0, len(found), PIECE)
            }
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            names = set().union(*(future.result() for future in done))
    print(len(files))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
