"""Java and Maven: is what this machine has good enough, and which Debian package brings it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from local.errors import CannotStart

JAVA_VERSION_MIN = 17
JAVA_PACKAGE = "openjdk-17-jre-headless"
MAVEN_PACKAGE = "maven"


def java() -> str:
    """Path of a Java that Kafka runs on: $JAVA_HOME's, else the one on $PATH. CannotStart when there is none."""
    home = os.environ.get("JAVA_HOME", "")
    candidate = shutil.which(str(Path(home) / "bin" / "java")) if home else shutil.which("java")
    expected = f"Java {JAVA_VERSION_MIN} or newer"
    todo = f"Install it: apt-get install {JAVA_PACKAGE} (or default-jre-headless)"
    if candidate is None:
        where = f"no java in $JAVA_HOME ({home})" if home else "no `java` on $PATH"
        raise CannotStart(expected, where, todo)
    version = java_version(candidate)
    if version < JAVA_VERSION_MIN:
        found = f"Java {version} at {candidate}" if version else f"a {candidate} that does not tell its version"
        raise CannotStart(expected, found, todo + "; if several are installed, set $JAVA_HOME")
    return candidate


@lru_cache
def java_version(program: str) -> int:
    """Its major version; 8 for `1.8`. 0 when it does not say."""
    try:
        answer = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(match[1]) if match else 0


def maven() -> str:
    """Path of `mvn`. CannotStart when there is none."""
    program = shutil.which("mvn")
    if program is None:
        raise CannotStart(
            "Maven, which fetches Kafka and the S3 server",
            "no `mvn` on $PATH",
            f"Install it: apt-get install {MAVEN_PACKAGE}",
        )
    return program
