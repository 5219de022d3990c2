"""The unit tier on each further Python that this machine has: `python -m tests.interpreters UV`. Nothing is downloaded
but packages. It says which versions it tried."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSIONS = ("3.11", "3.12", "3.13")
"""Those that pyproject.toml claims."""
TESTS = ("tests/unit", "tests/golden")
"""Quick, and without a server or a process."""


def main(uv: str) -> int:
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    failed = []
    for version in VERSIONS:
        if version == own:
            print(f"Python {version}: .venv has it, the other targets run on it")
        elif not (interpreter := _found(uv, version)):
            print(f"Python {version}: not on this machine")
        elif not _passes(uv, version, interpreter):
            failed.append(version)
    if failed:
        print(f"the unit tier fails on Python {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _found(uv: str, version: str) -> str:
    """Path of that Python: on $PATH, among those that uv has installed, or of pyenv. Empty: there is none."""
    asked = [uv, "python", "find", "--offline", "--no-python-downloads", version]
    found = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    return found or next(map(str, sorted(pyenv.glob(f"{version}.*/bin/python{version}"))), "")


def _passes(uv: str, version: str, interpreter: str) -> bool:
    print(f"Python {version}: {interpreter}", flush=True)
    folder = ROOT / "build" / f"python{version}"
    python = str(folder / "bin" / "python")
    for step in (
        [uv, "venv", "--quiet", "--allow-existing", "--python", interpreter, str(folder)],
        [uv, "pip", "sync", "--quiet", "--python", python, "--require-hashes", "requirements.lock"],
        [uv, "pip", "install", "--quiet", "--python", python, "--no-deps", "--no-build-isolation", "--editable", "."],
    ):
        subprocess.run(step, cwd=ROOT, check=True)
    return subprocess.run([python, "-m", "pytest", "-n", "2", "--dist", "worksteal", *TESTS], cwd=ROOT).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
