"""Two processes that need the same jars, and one that is killed while it fetches them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.jars import cache, lock_file
from local.jars.repository import VARIABLE
from tests.unit.local.jar_repository import SERVER, FakeRepository, serving, write_lock

FETCH = """
import sys
from pathlib import Path
from local.jars import cache, lock_file
lock_file.JARS = Path(sys.argv[1])
print(cache.classpath(sys.argv[2]), flush=True)
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRepository]:
    """Its second jar stops half way."""
    with serving() as repository:
        jars = [repository.add("one", b"1" * 1000), repository.add("two", b"2" * 1000)]
        repository.held = {f"/{jars[1].path}"}
        write_lock(tmp_path / "locks", *jars)
        monkeypatch.setattr(lock_file, "JARS", tmp_path / "locks")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv(VARIABLE, repository.address)
        yield repository


def fetching(tmp_path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FETCH, str(tmp_path / "locks"), SERVER]
    return subprocess.Popen(command, env=dict(os.environ), stdout=subprocess.PIPE, text=True)


def test_what_a_killed_process_left_half_fetched_is_deleted(repository: FakeRepository, tmp_path: Path) -> None:
    killed = fetching(tmp_path)
    assert repository.half_sent.wait(20)
    killed.kill()
    killed.communicate()
    folder = cache.cache_dir() / "jars"
    assert [path.name for path in folder.iterdir() if path.is_dir()] == [f"kafka.fetched-by-{killed.pid}"]
    assert not cache.is_cached(SERVER)
    repository.go_on.set()
    target = Path(cache.classpath(SERVER).removesuffix("/*"))
    assert [path for path in folder.iterdir() if path.is_dir()] == [target]
    assert sorted(path.name for path in target.iterdir()) == ["one-1.0.jar", "two-1.0.jar"]


def test_the_second_process_waits_for_the_first(repository: FakeRepository, tmp_path: Path) -> None:
    first = fetching(tmp_path)
    assert repository.half_sent.wait(20)
    second = fetching(tmp_path)
    repository.go_on.set()
    answers = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert answers == [f"{cache.cache_dir()}/jars/kafka-{lock_file.digest(SERVER)}/*\n"] * 2
    assert len(repository.requests) == 2
