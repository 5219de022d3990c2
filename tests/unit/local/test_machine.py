"""What `make` says when the machine lacks something, before there is any Python environment."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "local" / "machine.sh"


def run(folder: Path, *arguments: str, java: str = "17.0.1", without: tuple[str, ...] = ()) -> tuple[int, str]:
    """The script on a machine that has only what is named here."""
    programs = {
        "python3": "",
        "uv": "",
        "java": f"echo 'openjdk version \"{java}\"' >&2",
        "mvn": "",
        "make": "",
        "setpriv": "",
    }
    for name, body in programs.items():
        if name not in without:
            (folder / name).write_text(f"#!/bin/sh\n{body}\n")
            (folder / name).chmod(0o755)
    for name in ("sed", "head"):
        (folder / name).symlink_to(f"/usr/bin/{name}")
    done = subprocess.run(
        ["/bin/sh", str(SCRIPT), *arguments], env={"PATH": str(folder)}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_a_machine_with_everything_passes_in_silence(tmp_path: Path) -> None:
    assert run(tmp_path) == (0, "")


def test_everything_that_is_missing_is_named_with_its_package(tmp_path: Path) -> None:
    status, said = run(tmp_path, java="11.0.2", without=("mvn", "setpriv"))
    assert status == 1
    assert "expected Java 17 or newer, found Java 11. Install it: apt-get install openjdk-17-jre-headless" in said
    assert "apt-get install maven" in said
    assert "apt-get install util-linux" in said


def test_ci_gets_the_names_of_the_packages_alone(tmp_path: Path) -> None:
    status, said = run(tmp_path, "--packages", without=("python3", "java", "mvn"))
    assert (status, said.split()) == (1, ["python3", "default-jre-headless", "maven"])
