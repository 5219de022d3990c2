"""The jars of Kafka and of the S3 server: fetched by Maven once for this user, then shared by every stack and test."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from local import programs
from local.errors import CannotStart

POMS = Path(__file__).parent / "jars"
FETCH_TIMEOUT_S = 600

MAVEN_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Maven runs for seconds: without the second compiler a fetch takes 7 s of CPU instead of 12."""


def cache_dir() -> Path:
    """$XDG_CACHE_HOME/headrace, else ~/.cache/headrace."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace"


def is_cached(name: str) -> bool:
    return _target(name).is_dir()


def classpath(name: str) -> str:
    """Java's -cp for the jars that jars/`name`/pom.xml asks for, fetched if need be.

    The folder is named by the pom's hash, and appears in one rename: it is never half filled. Waits while another
    process fetches it. CannotStart when Maven is missing or fails.
    """
    target = _target(name)
    if not target.is_dir():
        _fetch(name, target)
    return f"{target}/*"


def _target(name: str) -> Path:
    digest = hashlib.sha256((POMS / name / "pom.xml").read_bytes()).hexdigest()[:16]
    return cache_dir() / "jars" / f"{name}-{digest}"


def _fetch(name: str, target: Path) -> None:
    mvn = programs.maven()
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            return
        scratch = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=target.parent))
        try:
            _copy_dependencies(mvn, name, scratch)
            (scratch / "jars").rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _copy_dependencies(mvn: str, name: str, scratch: Path) -> None:
    # A repository of its own, so that two fetches at once cannot tread on each other in ~/.m2.
    command = [mvn, "-q", "-B", "-ntp", "-f", str(POMS / name / "pom.xml"), "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={scratch / 'jars'}", f"-Dmaven.repo.local={scratch / 'repository'}"]
    try:
        answer = subprocess.run(
            command,
            env=os.environ | {"MAVEN_OPTS": f"{MAVEN_JVM} {os.environ.get('MAVEN_OPTS', '')}"},
            capture_output=True,
            text=True,
            timeout=FETCH_TIMEOUT_S,
            check=False,
        )
        failure = (answer.stdout + answer.stderr)[-2_000:].strip() if answer.returncode else ""
    except subprocess.TimeoutExpired:
        failure = f"nothing after {FETCH_TIMEOUT_S} s"
    if failure or not any((scratch / "jars").glob("*.jar")):
        raise CannotStart(
            f"Maven to fetch the jars of {name}",
            failure or "none",
            "Check the network and Maven's settings, then start again; nothing half-fetched was kept",
        )
