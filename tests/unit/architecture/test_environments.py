"""Any process of a user can read what another one of that user was given: so where models run, and where strangers
call, every process that we start is given an environment, and none inherits ours."""

from __future__ import annotations

import ast

import pytest

from tests.unit.architecture.product import ROOT, SOURCES

PACKAGES = ("api", "gpu_worker", "registry", "runtime", "streams", "views")


def inheriting(code: str) -> list[int]:
    """Lines of the code that start a process without saying which environment it has."""
    return [
        call.lineno
        for call in ast.walk(ast.parse(code))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in ("subprocess.run", "subprocess.Popen", "subprocess.check_output", "os.system")
        and "env" not in [keyword.arg for keyword in call.keywords]
    ]


def test_no_process_inherits_our_environment() -> None:
    codes = {
        str(path.relative_to(ROOT)): path.read_text() for path in SOURCES if path.relative_to(ROOT).parts[0] in PACKAGES
    }
    starting = {path: code for path, code in codes.items() if "subprocess." in code or "os.system" in code}
    assert "registry/uv.py" in starting, "this check can fail"
    found = {(path, line) for path, code in starting.items() for line in inheriting(code)}
    assert found == set(), "give it `env`: what it needs, and no more"


@pytest.mark.parametrize("code", ["subprocess.run(['a'], check=True)", "os.system('a')"])
def test_such_a_place_is_found(code: str) -> None:
    assert inheriting(code) == [1]
    assert inheriting("subprocess.Popen(['a'], env={})") == []
