"""Which files a version imports, as far as that can be told without running anything."""

from __future__ import annotations

import ast
import importlib.util
import os
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

from registry.import_compiler import compiled, imported, place_of, with_parents


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import a.b, c as d", {"a.b", "c"}),
        ("from a import b, c", {"a", "a.b", "a.c"}),
        ("from . import b", {"here.sub", "here.sub.b"}),
        ("from .b import c", {"here.sub.b", "here.sub.b.c"}),
        ("from ..b import c", {"here.b", "here.b.c"}),
        ("try:\n import a\nexcept ImportError:\n import b", {"a", "b"}),
        ("class A:\n import a", {"a"}),
        ("def f():\n import a", set()),
        ("if TYPE_CHECKING:\n import a", set()),
        ("if typing.TYPE_CHECKING:\n import a", set()),
        ("if True:\n import a", {"a"}),
    ],
)
def test_what_runs_when_a_module_is_imported_is_followed(source: str, found: set[str]) -> None:
    assert set(imported(ast.parse(source), "here.sub")) == found


def test_a_name_leads_to_a_file_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "__init__.py").touch()
    (tmp_path / "a" / "b.py").touch()
    assert place_of(str(tmp_path), "a") == (str(tmp_path / "a" / "__init__.py"), "a")
    assert place_of(str(tmp_path), "a.b") == (str(tmp_path / "a" / "b.py"), "a")
    assert place_of(str(tmp_path), "a.c") == ("", "")
    assert with_parents({"a.b.c"}) == {"a", "a.b", "a.b.c"}


def test_a_compiled_file_is_what_the_interpreter_takes_and_links_are_not_followed(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("import a\nVALUE = 1\n")
    pyc = Path(importlib.util.cache_from_source(str(module)))
    pyc.parent.mkdir()
    (tmp_path / "other").write_text("other")
    pyc.symlink_to(tmp_path / "other")
    before = module.stat()
    assert compiled(str(module), "") == {"a"}
    assert (tmp_path / "other").read_text() == "other"
    module.write_text("import a\nVALUE = 2\n")
    os.utime(module, ns=(before.st_atime_ns, before.st_mtime_ns))
    loader = SourceFileLoader("module", str(module))
    code = loader.get_code("module")
    assert code is not None
    assert 1 in code.co_consts


@pytest.mark.parametrize("source", ["(" * 500, "\0", "x = \udc80", "1" * 6000])
def test_a_file_that_cannot_be_compiled_harms_nothing(source: str, tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_bytes(source.encode("utf-8", "surrogateescape"))
    assert compiled(str(module), "") == set()
