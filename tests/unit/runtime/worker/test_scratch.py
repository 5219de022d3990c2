"""A node's disk space: what attempts leave is deleted, whatever it is, and nobody waits for that."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.worker.scratch import Scratch, ScratchTaken
from tests.waiting import until

DEADLINE_S = 20.0


class Space:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.scratch = Scratch(root)
        self.scratch.new_home(0)
        self.attempt = Path(self.scratch.attempt("1.1.0"))
        self.home = Path(self.scratch.home(0))
        self.temporary = Path(self.scratch.temporary(0))

    def is_clear(self) -> bool:
        return not any(any((self.root / name).iterdir()) for name in ("attempts", "gone"))


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    space = Space(tmp_path / "scratch")
    yield space
    space.scratch.close(DEADLINE_S)


def in_time(call: Callable[[], Any]) -> None:
    """Make the call in another thread, and fail when the call takes long."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


def test_who_has_something_deleted_does_not_wait_for_it(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node once missed heartbeats while it deleted 700,000 files (case C19)."""
    let = threading.Event()
    unlink = os.unlink
    asked: list[str] = []

    def slow(name: str, **options: Any) -> None:
        asked.append(name)
        assert let.wait(DEADLINE_S)
        unlink(name, **options)

    monkeypatch.setattr(os, "unlink", slow)
    for place in (space.home, space.temporary, space.attempt / "outputs"):
        place.mkdir(parents=True, exist_ok=True)
        (place / "file").touch()
    in_time(lambda: space.scratch.clean("1.1.0"))
    in_time(lambda: space.scratch.clean_temporary(0))
    in_time(lambda: space.scratch.new_home(0))
    assert list(space.home.iterdir()) == list(space.temporary.iterdir()) == []
    assert not space.attempt.exists()
    until(lambda: asked, "the deleter is at work")
    in_time(lambda: space.scratch.close(0.0))
    let.set()
    next_one = Scratch(space.root)
    until(space.is_clear, "what was left is deleted")
    next_one.close(DEADLINE_S)
    space.scratch = Scratch(space.root)


def test_an_agent_that_was_killed_left_its_files_to_the_next(tmp_path: Path) -> None:
    space = Space(tmp_path)
    (space.attempt / "outputs").mkdir(parents=True)
    (space.home / "words").touch()
    os.close(space.scratch._lock)
    after = Space(tmp_path)
    until(space.is_clear, "its files are gone")
    assert list(after.home.iterdir()) == []
    after.scratch.close(DEADLINE_S)
    space.scratch._deleter.close(DEADLINE_S)


def test_one_agent_to_a_scratch(space: Space) -> None:
    with pytest.raises(ScratchTaken, match="found another node agent in it"):
        Scratch(space.root)


def test_a_tree_deeper_than_files_may_be_open_is_deleted(space: Space) -> None:
    space.attempt.mkdir()
    fd = os.open(space.attempt, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    held = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    space.scratch.clean("1.1.0")
    until(space.is_clear, "it is deleted")
    assert len(os.listdir("/proc/self/fd")) <= held  # noqa: PTH208


def locked(directory: Path) -> None:
    (directory / "in" / "inner").mkdir(parents=True)
    (directory / "in" / "file").touch()
    (directory / "in").chmod(0)
    directory.chmod(0)


def linked(directory: Path) -> None:
    directory.mkdir()
    (directory / "up").symlink_to(directory.parents[1])
    (directory / "odd\udcff\n").touch()


@pytest.mark.parametrize("make", [locked, linked])
def test_odd_folders_go_and_nothing_else_does(space: Space, make: Callable[[Path], None]) -> None:
    make(space.attempt)
    make(space.temporary / "in")
    make(space.home / "in")
    space.scratch.clean("1.1.0")
    space.scratch.clean_temporary(0)
    space.scratch.new_home(0)
    until(space.is_clear, "it is deleted")
    assert sorted(path.name for path in space.root.iterdir()) == ["attempts", "gone", "lock", "slots"]


@pytest.mark.parametrize("name", ["attempts", "slots", "gone"])
@pytest.mark.parametrize("put", ["nothing", "file", "link", "pipe", "locked"])
def test_what_a_child_did_to_the_nodes_own_folders_is_put_right(space: Space, name: str, put: str) -> None:
    (space.root / name).rename(space.root.parent / "moved")  # the deleter may be about to empty that folder
    (space.root.parent / "elsewhere").mkdir()
    (space.root.parent / "elsewhere" / "kept").touch()
    match put:
        case "file":
            (space.root / name).touch()
        case "link":
            (space.root / name).symlink_to(space.root.parent / "elsewhere")
        case "pipe":
            os.mkfifo(space.root / name)
        case "locked":
            (space.root / name).mkdir(0)
    in_time(lambda: space.scratch.clean_temporary(0))
    in_time(lambda: space.scratch.clean("1.1.0"))
    in_time(lambda: space.scratch.new_home(0))
    (space.attempt / "outputs").mkdir(parents=True)
    os.close(space.scratch.open_outputs("1.1.0"))
    space.scratch.clean("1.1.0")
    space.scratch.new_home(0)
    assert list(space.home.iterdir()) == list(space.temporary.iterdir()) == []
    until(space.is_clear, "it is deleted")
    assert (space.root.parent / "elsewhere" / "kept").exists()


def test_temporary_files_go_even_when_their_writer_hides_them(space: Space) -> None:
    (space.temporary / "words").touch()
    os.utime(space.temporary, ns=(0, 0))
    space.scratch.clean_temporary(0)
    assert list(space.temporary.iterdir()) == []
    before = space.temporary.stat().st_ino
    space.scratch.clean_temporary(0)
    assert space.temporary.stat().st_ino == before, "an empty one is not made anew"
