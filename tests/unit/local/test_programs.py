"""What is missing on this machine is named, with its Debian package."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from local import jars, programs
from local.errors import CannotStart


def fake_java(folder: Path, version: str) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2020-01-01' >&2\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


def test_an_old_java_is_refused_with_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path, "11.0.2")))
    with pytest.raises(CannotStart, match=r"expected Java 17 or newer, found Java 11 at .*openjdk-17-jre-headless"):
        programs.java()


@pytest.mark.parametrize(("version", "major"), [("1.8.0_292", 8), ("17.0.15", 17), ("21", 21)])
def test_versions_are_read(tmp_path: Path, version: str, major: int) -> None:
    assert programs.java_version(str(fake_java(tmp_path, version) / "bin" / "java")) == major


def test_a_new_enough_java_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path, "21.0.1")))
    assert programs.java() == str(tmp_path / "bin" / "java")


def test_a_missing_java_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotStart, match=r"no `java` on \$PATH.*apt-get install openjdk-17-jre-headless"):
        programs.java()


def test_a_missing_maven_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(CannotStart, match=r"no `mvn` on \$PATH.*apt-get install maven"):
        jars.classpath("kafka")


def test_a_maven_that_fails_leaves_nothing_half_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mvn").write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    (tmp_path / "mvn").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(CannotStart, match="no network"):
        jars.classpath("kafka")
    assert not jars.is_cached("kafka")
    assert [path.name for path in (tmp_path / "cache" / "headrace" / "jars").iterdir()] == ["kafka.lock"]
