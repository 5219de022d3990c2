"""Jars come by their lock: all of them with the right bytes, or none and a sentence that says which one was wrong."""

from __future__ import annotations

import io
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import stamina
from filelock import FileLock
from rich.console import Console

from local.errors import CannotStart
from local.jars import cache, download, lock_file
from local.jars import repository as repository_module
from local.jars.download import Abandoned, Download
from local.jars.lock_file import SERVERS, Jar
from local.jars.repository import VARIABLE, chosen
from runtime.user_caches import CacheNotOurs
from tests.unit.local.jar_repository import SERVER, FakeRepository, serving, write_lock

CONTENT = {"one": b"1" * 300_000, "two": b"2" * 10, "three": b"3" * 70_000}


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRepository]:
    with serving() as repository, stamina.set_testing(True, attempts=3):
        monkeypatch.setenv(VARIABLE, repository.address)
        yield repository


@pytest.fixture
def jars(repository: FakeRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Jar]:
    """Those of the lock, all to be had from the repository."""
    jars = [repository.add(name, content) for name, content in CONTENT.items()]
    write_lock(tmp_path / "locks", *jars)
    monkeypatch.setattr(lock_file, "JARS", tmp_path / "locks")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return jars


def kept() -> list[str]:
    """What lies in the cache."""
    return sorted(path.name for path in (cache.cache_dir() / "jars").iterdir())


def test_all_jars_of_the_lock_are_fetched_once(repository: FakeRepository, jars: list[Jar]) -> None:
    assert not cache.is_cached(SERVER)
    folder = Path(cache.classpath(SERVER).removesuffix("/*"))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        f"{name}-1.0.jar": content for name, content in CONTENT.items()
    }
    assert cache.is_cached(SERVER)
    assert cache.classpath(SERVER) == f"{folder}/*"
    assert sorted(repository.requests) == sorted(f"/{jar.path}" for jar in jars)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "two-1.0.jar").write_bytes(b"3" * 10), "found other bytes in two-1.0.jar."),
        (lambda folder: (folder / "evil.jar").touch(), "found evil.jar, which the lock does not name."),
        (lambda folder: (folder / "one-1.0.jar").unlink(), "found no one-1.0.jar."),
    ],
)
def test_jars_that_changed_since_they_were_fetched_are_refused_before_use(
    jars: list[Jar], change: Callable[[Path], object], said: str
) -> None:
    folder = Path(cache.classpath(SERVER).removesuffix("/*"))
    change(folder)
    with pytest.raises(CannotStart) as refused:
        cache.classpath(SERVER)
    assert said in str(refused.value)
    assert f"the jars of {SERVER} in {folder}" in str(refused.value)
    shutil.rmtree(folder)
    assert cache.classpath(SERVER) == f"{folder}/*", "fetched again"


def test_another_lock_has_another_folder(jars: list[Jar], tmp_path: Path) -> None:
    before = cache.classpath(SERVER)
    write_lock(tmp_path / "locks", jars[0])
    assert not cache.is_cached(SERVER)
    assert cache.classpath(SERVER) != before


@pytest.mark.parametrize("content", [b"9" * 10, b"2" * 9, b""])
def test_wrong_bytes_are_refused_and_nothing_is_kept(
    repository: FakeRepository, jars: list[Jar], content: bytes
) -> None:
    wrong = jars[1]
    repository.files[f"/{wrong.path}"] = content
    with pytest.raises(CannotStart) as refused:
        cache.classpath(SERVER)
    assert f"expected two-1.0.jar (10 bytes, sha256 {wrong.sha256}) at {repository.address}/{wrong.path}" in str(
        refused.value
    )
    assert f"found {len(content)} bytes, sha256 " in str(refused.value)
    assert f"Do not use that file, and tell whoever runs the repository. The repository is named by ${VARIABLE}" in str(
        refused.value
    )
    assert repository.requests.count(f"/{wrong.path}") == 1, "the same request would bring the same bytes"
    assert kept() == ["kafka.lock"]
    assert not cache.is_cached(SERVER)


def test_a_file_that_is_too_long_is_not_read_to_its_end(repository: FakeRepository, jars: list[Jar]) -> None:
    repository.files[f"/{jars[1].path}"] = b"2" * 10_000_000
    with pytest.raises(CannotStart, match="found more than 10 bytes"):
        cache.classpath(SERVER)


def test_a_jar_that_is_not_there_is_named(repository: FakeRepository, jars: list[Jar]) -> None:
    del repository.files[f"/{jars[2].path}"]
    with pytest.raises(CannotStart, match=r"expected three-1\.0\.jar .*, found HTTP status 404\. See why"):
        cache.classpath(SERVER)
    assert repository.requests.count(f"/{jars[2].path}") == 1
    assert kept() == ["kafka.lock"]


def test_single_failures_are_tried_again(repository: FakeRepository, jars: list[Jar]) -> None:
    repository.statuses = {f"/{jars[0].path}": [0, 503], f"/{jars[1].path}": [429], f"/{jars[2].path}": [500, 0]}
    folder = Path(cache.classpath(SERVER).removesuffix("/*"))
    assert (folder / "one-1.0.jar").read_bytes() == CONTENT["one"]
    assert len(repository.requests) == 8


def test_a_repository_that_goes_on_failing_is_given_up(repository: FakeRepository, jars: list[Jar]) -> None:
    repository.statuses[f"/{jars[0].path}"] = [503] * 9
    with pytest.raises(CannotStart, match=r"expected one-1\.0\.jar .*, found HTTP status 503"):
        cache.classpath(SERVER)
    assert repository.requests.count(f"/{jars[0].path}") == 3
    assert kept() == ["kafka.lock"]


def test_a_repository_that_nobody_serves_is_named(jars: list[Jar], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "http://127.0.0.1:1/maven")
    with pytest.raises(CannotStart, match=r"at http://127\.0\.0\.1:1/maven/org/.*found ConnectError: .*HTTPS_PROXY"):
        cache.classpath(SERVER)


def test_a_repository_that_trickles_is_given_up(jars: list[Jar], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "ALL_S_MAX", 0.0)
    with pytest.raises(CannotStart, match=r"expected the jars within 0 s from http.*that some are still coming in"):
        cache.classpath(SERVER)
    assert kept() == ["kafka.lock"]


def test_two_at_once_fetch_once(repository: FakeRepository, jars: list[Jar]) -> None:
    with ThreadPoolExecutor(2) as both:
        first, second = both.map(cache.classpath, [SERVER, SERVER])
    assert first == second
    assert len(repository.requests) == len(jars)


def test_when_one_server_fails_that_failure_is_told(
    repository: FakeRepository, jars: list[Jar], tmp_path: Path
) -> None:
    write_lock(tmp_path / "locks", repository.add("other", b"4" * 10_000_000), server="s3proxy")
    del repository.files[f"/{jars[1].path}"]
    with pytest.raises(CannotStart, match=r"expected two-1\.0\.jar"):
        cache.fetch(["s3proxy", SERVER])
    assert not cache.is_cached(SERVER)
    assert not [name for name in kept() if "fetched-by" in name]


def test_a_fetch_that_the_user_gives_up_ends_at_the_next_bytes(
    repository: FakeRepository, jars: list[Jar], tmp_path: Path
) -> None:
    given_up = threading.Event()
    given_up.set()
    received: list[int] = []
    with pytest.raises(Abandoned):
        Download(chosen(), given_up, received.append).run(jars, tmp_path)
    assert sum(received) == 0


def test_who_waits_too_long_says_for_whom(jars: list[Jar], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "WAIT_S_MAX", 0.1)
    folder = cache.cache_dir() / "jars"
    (folder / "kafka.fetched-by-4711").mkdir(parents=True)
    with (
        FileLock(folder / "kafka.lock"),
        pytest.raises(CannotStart, match="the jars of kafka within 0 s, found that process 4711 is still fetching"),
    ):
        cache.classpath(SERVER)


def test_a_cache_that_cannot_be_written_is_named(
    jars: list[Jar], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(
        CannotStart, match=r"to fetch the jars of kafka into .*file/headrace/jars, found .*\$XDG_CACHE_HOME"
    ):
        cache.classpath(SERVER)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_shows_a_bar_and_a_log_stays_quiet(jars: list[Jar], terminal: bool) -> None:
    screen = io.StringIO()
    cache.fetch([SERVER], Console(file=screen, force_terminal=terminal, width=100))
    assert ("jars of kafka" in screen.getvalue()) is terminal


@pytest.mark.parametrize("server", SERVERS)
def test_the_locks_are_those_of_the_poms(server: str) -> None:
    assert lock_file.is_of_pom(server), "pom.xml changed: run `make lock-jars`"
    jars = lock_file.read(server)
    assert len({jar.file_name for jar in jars}) == len(jars) > 40, "two files of one name"
    assert jars == sorted(jars)


def test_a_line_that_names_no_jar_is_named(jars: list[Jar], tmp_path: Path) -> None:
    (tmp_path / "locks" / SERVER / "jars.lock").write_text("# jars\norg.example:one:1.0 12 sha256:none\n")
    with pytest.raises(ValueError, match=r"jars\.lock, line 2: no `group:artifact:version size sha256"):
        lock_file.read(SERVER)


def test_jars_in_a_folder_that_another_user_made_are_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def anothers() -> Path:
        raise CacheNotOurs("expected it to belong to user 4711")

    monkeypatch.setattr(cache, "user_caches", anothers)
    with pytest.raises(CannotStart, match="expected a folder for caches, found expected it to belong to user 4711"):
        cache.cache_dir()


def test_a_user_without_a_home_has_no_settings_of_maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(repository_module, "MACHINE_SETTINGS", tmp_path / "none.xml")
    monkeypatch.setattr(Path, "home", homeless)
    assert chosen().named_by == "jgo"
