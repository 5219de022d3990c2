"""A server's jars.lock: one line for each jar, with its Maven coordinates, its size in bytes and its sha256."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath

import msgspec

JARS = Path(__file__).parent
SERVERS = ("kafka", "s3proxy")

_LINE = re.compile(r"([\w.-]+):([\w.-]+):([\w.-]+)(?::([\w.-]+))? ([0-9]+) sha256:([0-9a-f]{64})")


class Jar(msgspec.Struct, frozen=True, order=True):
    """The field names are Maven's."""

    group: str
    artifact: str
    version: str
    classifier: str
    """Empty for nearly every jar."""
    size: int
    """In bytes."""
    sha256: str

    @property
    def file_name(self) -> str:
        return "-".join(filter(None, (self.artifact, self.version, self.classifier))) + ".jar"

    @property
    def path(self) -> PurePosixPath:
        """Where a Maven repository has the jar, below the repository's address."""
        return PurePosixPath(*self.group.split("."), self.artifact, self.version, self.file_name)

    def line(self) -> str:
        coordinates = ":".join(filter(None, (self.group, self.artifact, self.version, self.classifier)))
        return f"{coordinates} {self.size} sha256:{self.sha256}"


def lock_file(server: str) -> Path:
    return JARS / server / "jars.lock"


def pom_file(server: str) -> Path:
    return JARS / server / "pom.xml"


def read(server: str) -> list[Jar]:
    """The jars of the server. ValueError names the line that is none."""
    jars = []
    for number, line in enumerate(lock_file(server).read_text().splitlines(), 1):
        if line.startswith("#") or not line:
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"{lock_file(server)}, line {number}: no `group:artifact:version size sha256:…`")
        group, artifact, version, classifier, size, sha256 = match.groups(default="")
        jars.append(Jar(group, artifact, version, classifier, int(size), sha256))
    return jars


def write(server: str, jars: list[Jar]) -> None:
    head = [
        f"# The jars of {server} that Maven chooses for the pom.xml beside this file. Made by `make lock-jars`.",
        f"# pom.xml sha256:{_sha256(pom_file(server))}",
    ]
    lock_file(server).write_text("\n".join([*head, *(jar.line() for jar in sorted(jars))]) + "\n")


def is_of_pom(server: str) -> bool:
    """Whether the lock was made from the pom.xml as it is now."""
    return f"# pom.xml sha256:{_sha256(pom_file(server))}" in lock_file(server).read_text().splitlines()


def digest(server: str) -> str:
    """Names the folder of the fetched jars: another lock, another folder."""
    return _sha256(lock_file(server))[:16]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
