"""Where jars come from: the environment, else a mirror in Maven's settings, else where jgo says they are published."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from local.errors import CannotStart
from local.jars import lock_file, repository
from local.jars.cache import classpath
from local.jars.repository import VARIABLE, chosen, mirror_in
from tests.unit.local.jar_repository import SERVER, serving, write_lock

SETTINGS = """<settings xmlns="http://maven.apache.org/SETTINGS/1.0.0">
  <servers><server><id>ours</id><username>me</username><password>${{env.MIRROR_PASSWORD}}</password></server></servers>
  <mirrors>
    <mirror><id>blocker</id><mirrorOf>external:*</mirrorOf><url>http://0.0.0.0/</url><blocked>true</blocked></mirror>
    <mirror><id>other</id><mirrorOf>other</mirrorOf><url>http://other.example/</url></mirror>
    <mirror><id>ours</id><mirrorOf>{mirror_of}</mirrorOf><url>{url}</url></mirror>
  </mirrors>
</settings>
"""
URL = "http://mirror.example/maven"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's settings.xml would be."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("MIRROR_PASSWORD", "secret")
    (tmp_path / ".m2").mkdir()
    return tmp_path / ".m2" / "settings.xml"


@pytest.mark.parametrize("mirror_of", ["*", "central", "external:*", "other, central", "*,!other"])
def test_a_mirror_of_central_is_used_with_its_login(settings: Path, mirror_of: str) -> None:
    settings.write_text(SETTINGS.format(mirror_of=mirror_of, url=URL))
    found = chosen()
    assert (str(found.address), found.login) == (URL, ("me", "secret"))
    assert found.named_by == f"the mirror ours in {settings}"


@pytest.mark.parametrize("mirror_of", ["other", "*,!central", "external:http:*", ""])
def test_a_mirror_of_others_is_not(settings: Path, mirror_of: str) -> None:
    settings.write_text(SETTINGS.format(mirror_of=mirror_of, url=URL))
    assert mirror_in(settings) is None


def test_the_environment_wins_and_its_password_is_not_shown(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.write_text(SETTINGS.format(mirror_of="*", url=URL))
    monkeypatch.setenv(VARIABLE, "https://me:secret@nearer.example/maven")
    found = chosen()
    assert (str(found.address), found.login) == ("https://nearer.example/maven", ("me", "secret"))
    assert found.named_by == f"${VARIABLE}"


def test_without_any_settings_jgo_knows_the_address(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "MACHINE_SETTINGS", settings)
    found = chosen()
    assert (found.named_by, found.address.scheme, found.login) == ("jgo", "https", None)


@pytest.mark.parametrize(
    "address", ["mirror.example", "ftp://mirror.example", "http://", "http://mirror.example:no", "file:///jars"]
)
def test_an_address_that_is_none_is_refused(settings: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv(VARIABLE, address)
    with pytest.raises(CannotStart, match=rf"the http or https address of a Maven repository from \${VARIABLE}"):
        chosen()


def test_settings_that_are_no_xml_are_not_passed_over(settings: Path) -> None:
    settings.write_text("<settings>")
    with pytest.raises(CannotStart, match=rf"Maven's settings in {settings}, found no element found.*{VARIABLE}"):
        chosen()


def test_jars_come_from_the_mirror(settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(lock_file, "JARS", tmp_path / "locks")
    with serving() as served:
        write_lock(tmp_path / "locks", served.add("one", b"one", classifier="linux"))
        settings.write_text(SETTINGS.format(mirror_of="central", url=f"{served.address}/"))
        folder = Path(classpath(SERVER).removesuffix("/*"))
    assert [path.name for path in folder.iterdir()] == ["one-1.0-linux.jar"]
    assert served.authorizations == ["Basic " + base64.b64encode(b"me:secret").decode()]
