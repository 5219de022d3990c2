"""`make` lists what there is, and CI runs what a developer runs."""

from __future__ import annotations

import inspect
import os
import subprocess
from pathlib import Path

import pytest

from cli.demo import demo as demo_command

ROOT = Path(__file__).parents[3]
TESTS = ROOT / "tests"


def make(*arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "--no-print-directory", "-C", str(ROOT), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize(
    "target",
    [
        "help",
        "setup",
        "check",
        "test",
        "test-long",
        "simulate",
        "demo",
        "bench",
        "down",
        "lock",
        "audit-deps",
        "sbom",
        "compose-secrets",
    ],
)
def test_make_alone_lists_every_target(target: str) -> None:
    assert f"  make {target} " in make()


def test_ci_runs_make_test_and_what_takes_longer() -> None:
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test\nexec make test-long")


def test_make_test_runs_every_check_and_every_tier() -> None:
    planned = make("--dry-run", "test")
    for step in ("ruff format --check", "ruff check", "lint-imports", "mypy"):
        assert step in make("--dry-run", "check")
        assert step in planned
    for tier in ("unit", "properties", "simulation", "golden"):
        assert f"tests/{tier}" in make("--dry-run", "check")
    for tier in sorted(path.name for path in TESTS.iterdir() if any(path.rglob("test_*.py"))):
        assert f"tests/{tier}" in planned, tier
    for tests, rest in (("make test", planned), ("make test-long", make("--dry-run", "test-long"))):
        assert "tests/integration tests/system" in rest, tests
    assert '-m "not long"' in planned
    assert "-m long" in make("--dry-run", "test-long")


def test_any_number_of_seeds_is_simulated() -> None:
    assert "tests.simulation 12345" in make("--dry-run", "simulate", "SEEDS=12345")


def test_what_demo_and_up_started_is_stopped() -> None:
    planned = make("--dry-run", "down")
    demo = inspect.signature(demo_command).parameters["data"].default
    assert f"headrace down --data {demo}\n" in planned
    assert planned.endswith("headrace down\n")


def test_everything_is_installed_by_the_uv_that_the_lock_pins() -> None:
    (pin,) = [line.split()[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if line[:4] == "uv=="]
    assert f"build/tools/{pin.replace('==', '-')}/bin/uv export" in make("--dry-run", "lock")
