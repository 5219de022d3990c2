"""The locks are made anew by Maven, whose folders tell each jar's coordinates."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from local.errors import CannotStart
from local.jars import lock_file
from local.jars.lock_file import Jar
from local.jars.relock import main, relock
from tests.unit.local.jar_repository import SERVER

MAVEN = """#!/bin/sh
for argument; do case $argument in -DoutputDirectory=*) out=${argument#*=};; esac; done
mkdir -p $out/org/example/two/1.0 $out/io/one/2.0-beta
printf 22 > $out/org/example/two/1.0/two-1.0-linux.jar
printf 1 > $out/io/one/2.0-beta/one-2.0-beta.jar
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first folder of $PATH."""
    for server in lock_file.SERVERS:
        (tmp_path / "locks" / server).mkdir(parents=True)
        (tmp_path / "locks" / server / "pom.xml").write_text("<project/>")
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(lock_file, "JARS", tmp_path / "locks")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.defpath}")
    return tmp_path / "bin"


def maven(folder: Path, script: str) -> None:
    (folder / "mvn").write_text(script)
    (folder / "mvn").chmod(0o755)


def test_the_lock_names_what_maven_chose(programs: Path) -> None:
    maven(programs, MAVEN)
    assert relock(SERVER) == 2
    one, two = (hashlib.sha256(content).hexdigest() for content in (b"1", b"22"))
    assert lock_file.read(SERVER) == [
        Jar("io", "one", "2.0-beta", "", 1, one),
        Jar("org.example", "two", "1.0", "linux", 2, two),
    ]
    assert lock_file.is_of_pom(SERVER)
    lock_file.pom_file(SERVER).write_text("<project></project>")
    assert not lock_file.is_of_pom(SERVER)


def test_a_maven_that_fails_leaves_the_lock_as_it_was(programs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maven(programs, "#!/bin/sh\nexit 1\n")
    assert main() == 1
    assert "returned non-zero exit status 1" in capsys.readouterr().err
    assert not lock_file.lock_file(SERVER).exists()


def test_a_missing_maven_is_named_with_its_package(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(CannotStart, match=r"no `mvn` on \$PATH.*apt-get install maven"):
        relock(SERVER)
