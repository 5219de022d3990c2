"""Make every jars.lock anew from the pom.xml beside it, with Maven: `python -m local.jars.relock` (`make lock-jars`).

Maven alone chooses as Maven does: jgo's resolver leaves out three jars of s3proxy that Maven takes.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from local.errors import CannotStart
from local.jars import lock_file
from local.jars.lock_file import SERVERS, Jar

MAVEN_TIMEOUT_S = 600


def relock(server: str) -> int:
    """Write the server's lock; the number of its jars."""
    with tempfile.TemporaryDirectory() as scratch:
        _copy_dependencies(server, Path(scratch))
        jars = [_jar(path, Path(scratch) / "jars") for path in (Path(scratch) / "jars").rglob("*.jar")]
    lock_file.write(server, jars)
    return len(jars)


def _copy_dependencies(server: str, scratch: Path) -> None:
    """Have Maven lay the jars below `scratch`/jars as a repository has them: a jar's folder tells its coordinates.

    Maven's own cache is a new one, so that every jar comes from where it is published."""
    maven = shutil.which("mvn")
    if maven is None:
        raise CannotStart("Maven, which chooses the jars", "no `mvn` on $PATH", "Install it: apt-get install maven")
    command = [maven, "-q", "-B", "-ntp", "-f", str(lock_file.pom_file(server)), "dependency:copy-dependencies"]
    command += ["-Dmdep.useRepositoryLayout=true", f"-DoutputDirectory={scratch / 'jars'}"]
    command += [f"-Dmaven.repo.local={scratch / 'repository'}"]
    subprocess.run(command, timeout=MAVEN_TIMEOUT_S, check=True)


def _jar(path: Path, root: Path) -> Jar:
    *group, artifact, version, name = path.relative_to(root).parts
    classifier = name.removeprefix(f"{artifact}-{version}").removesuffix(".jar").removeprefix("-")
    content = path.read_bytes()
    return Jar(".".join(group), artifact, version, classifier, len(content), hashlib.sha256(content).hexdigest())


def main() -> int:
    try:
        for server in SERVERS:
            print(f"{server}: {relock(server)} jars", flush=True)
    except (CannotStart, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
