"""Calls of `uv`, which is part of this installation. It runs without our credentials, and a failure gets a message."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import uv

from registry.errors import RegistryError
from runtime.proxies import except_loopback
from runtime.user_caches import home_caches, user_caches

TIMEOUT_S = 1800
"""In seconds. The largest wheels have gigabytes."""
_SECRETS = ("HEADRACE_", "AWS_", "PYTHON", "VIRTUAL_ENV", "DATABASE_URL", "CONDA_")
ERROR_LENGTH_MAX = 1500


def uv_program() -> str:
    """Path of `uv`. RegistryError(unavailable) when this installation lacks it."""
    try:
        return str(uv.find_uv_bin())
    except FileNotFoundError:
        raise RegistryError(
            "unavailable", "expected the program uv beside this installation, found none; install headrace again"
        ) from None


def _surroundings() -> dict[str, str]:
    """The environment for uv. Without a home that can be written to, uv would make its cache where it runs, whatever
    $XDG_CACHE_HOME says; so it is told of one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
    kept.setdefault("UV_PYTHON_DOWNLOADS", "never")
    if home_caches() is None and "UV_CACHE_DIR" not in kept:
        try:
            kept["UV_CACHE_DIR"] = str(user_caches() / "uv")
        except OSError as error:
            raise RegistryError("environment", f"uv has no place for its cache: {error}") from None
    return except_loopback(kept)


def run_uv(arguments: list[str], doing: str) -> None:
    """Runs uv. RegistryError(environment) says what uv was doing and quotes the end of its output."""
    surroundings = _surroundings()
    try:
        done = subprocess.run(
            [uv_program(), *arguments],
            cwd=Path("/"),  # so that no settings of a project apply
            env=surroundings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RegistryError("environment", f"{doing}: expected uv to end within {TIMEOUT_S} s, stopped it") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        said = re.sub(r"://[^/@\s]+@", "://***@", said)[-ERROR_LENGTH_MAX:]
        raise RegistryError("environment", f"{doing}: uv ended with code {done.returncode}: {said}")
