"""What `headrace doctor` looks at: the machine first, then the stack of --data if there is one."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from local import disk, programs, stack
from local.errors import CannotStart


class Finding(msgspec.Struct, frozen=True):
    what: str
    good: bool
    found: str
    todo: str = ""


def examine(data: Path) -> list[Finding]:
    """Every finding, the good ones too."""
    return [*_machine(data), *_stack(data)]


def _machine(data: Path) -> list[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    cores = os.cpu_count() or 1
    space = disk.warning(_existing(data))
    return [
        Finding("Python 3.11 or newer", sys.version_info >= (3, 11), version),
        _program("Java 17 or newer", programs.java),
        _program("Maven", programs.maven),
        _make(),
        Finding("two cores", cores >= 2, str(cores), "" if cores >= 2 else "it runs, slowly"),
        Finding(
            "space on disk", not space, f"{shutil.disk_usage(_existing(data)).free / 1e9:.1f} GB free", space or ""
        ),
    ]


def _make() -> Finding:
    found = shutil.which("make")
    return Finding("make", found is not None, found or "none", "" if found else "apt-get install make")


def _program(what: str, find: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, find())
    except CannotStart as missing:
        return Finding(what, False, missing.found, missing.todo)


def _stack(data: Path) -> list[Finding]:
    status = stack.status(data)
    if not status.running:
        return [Finding("a stack", True, f"none runs on {data.absolute()}", "start one with `headrace up`")]
    found = [
        Finding(
            part.name, part.state == "ready", f"{part.state}, {part.restarts} crashes", _advice(part.note, part.log)
        )
        for part in status.parts
    ]
    return [*found, *(Finding("warning", False, warning) for warning in status.warnings)]


def _advice(note: str, log: str) -> str:
    return f"{note}; its log is {log}" if note else ""


def _existing(path: Path) -> Path:
    """The directory itself, or the nearest one above it that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
