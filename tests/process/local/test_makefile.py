"""`make` lists what there is, and CI runs what a developer runs."""

from __future__ import annotations

import inspect
import os
import subprocess
from pathlib import Path

import pytest

from cli.demo import demo as demo_command

ROOT = Path(__file__).parents[3]


def make(*arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "--no-print-directory", "-C", str(ROOT), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("target", ["help", "setup", "check", "test", "simulate", "demo", "bench", "down", "lock"])
def test_make_alone_lists_every_target(target: str) -> None:
    assert f"  make {target} " in make()


def test_everything_ci_runs_is_make_test() -> None:
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("exec make test")
    planned = make("--dry-run", "test")
    for step in ("ruff format --check", "ruff check", "lint-imports", "mypy", "tests/unit tests/properties"):
        assert step in planned
    assert planned.rstrip().endswith("pytest tests/integration tests/system")


def test_any_number_of_seeds_is_simulated() -> None:
    assert "tests.simulation 12345" in make("--dry-run", "simulate", "SEEDS=12345")


def test_what_demo_and_up_started_is_stopped() -> None:
    planned = make("--dry-run", "down")
    demo = inspect.signature(demo_command).parameters["data"].default
    assert f"headrace down --data {demo}\n" in planned
    assert planned.endswith("headrace down\n")
