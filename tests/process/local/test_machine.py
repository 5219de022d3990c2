"""Before there is any Python environment, `make` says what the machine lacks, and fetches uv by its hash."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "local" / "machine.sh"


def run(folder: Path, *arguments: str, without: tuple[str, ...] = ()) -> tuple[int, str]:
    """The script on a machine that has nothing but `python3`, `make` and `setpriv`, without those named here.

    `uv` is not there, so `python3` must have its venv: `without` a `venv` it fails when it is asked to import that."""
    programs = {"python3": "case $2 in *venv*) exit 1;; esac" if "venv" in without else "", "make": "", "setpriv": ""}
    for name, body in programs.items():
        if name not in without:
            (folder / name).write_text(f"#!/bin/sh\n{body}\n")
            (folder / name).chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", str(SCRIPT), *arguments], env={"PATH": str(folder)}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_a_bare_machine_with_python_and_make_passes_in_silence(tmp_path: Path) -> None:
    assert run(tmp_path) == (0, "")


def test_everything_that_is_missing_is_named_with_its_package(tmp_path: Path) -> None:
    status, said = run(tmp_path, without=("venv", "make", "setpriv"))
    assert status == 1
    assert "expected Python's venv, to fetch uv with, found a python3 without it." in said
    assert "apt-get install python3-venv" in said
    assert "expected make, found none on $PATH. Install it: apt-get install make" in said
    assert "apt-get install util-linux" in said


def test_an_old_python_is_named(tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "python3").write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\nexit 1\n')
    done = subprocess.run(
        ["/bin/sh", str(SCRIPT)], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.stderr.startswith(
        "expected Python 3.11 or newer, found Python 3.9.2. Install it: apt-get install python3"
    )


def test_ci_gets_the_names_of_the_packages_alone(tmp_path: Path) -> None:
    status, said = run(tmp_path, "--packages", without=("python3", "make"))
    assert (status, said.split()) == (1, ["python3", "make"])


LOCK = """\
# made by uv
a-package==1 \\
    --hash=sha256:aa
    # via headrace
uv==9.9.9 \\
    --hash=sha256:bb \\
    --hash=sha256:cc
    # via headrace
uvicorn==1 \\
    --hash=sha256:dd
"""
TELLS = """#!/bin/sh
echo "$@" >> {told}
[ "$2" != venv ] && [ "$1" != venv ] || {{ mkdir -p build/tools/bin; cp "$0" build/tools/bin/pip; }}
"""


@pytest.mark.parametrize("has_venv", [True, False])
def test_uv_itself_is_fetched_by_the_version_and_the_hashes_of_the_lock(tmp_path: Path, has_venv: bool) -> None:
    (tmp_path / "requirements.lock").write_text(LOCK)
    told = tmp_path / "told"
    for name in ("python3", "uv"):
        (tmp_path / name).write_text(TELLS.format(told=told))
        (tmp_path / name).chmod(0o755)
    if not has_venv:
        (tmp_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    command = ["/bin/sh", str(ROOT / "local" / "fetch_uv.sh"), "build/tools"]
    subprocess.run(command, env={"PATH": f"{tmp_path}:{os.defpath}"}, cwd=tmp_path, check=True)
    pins = (tmp_path / "build" / "tools.lock").read_text().split()
    assert pins == ["uv==9.9.9", "\\", "--hash=sha256:bb", "\\", "--hash=sha256:cc"]
    last = told.read_text().splitlines()[-1]
    assert "install" in last
    assert last.endswith("--require-hashes --no-deps --only-binary :all: --requirement build/tools.lock")
