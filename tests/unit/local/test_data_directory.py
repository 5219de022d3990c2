"""A data directory is for its owner alone: made so, brought there when it is a stack's, or refused in words."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from local.data_directory import make_private, tighten
from local.errors import CannotStart
from local.options import Layout


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "data")


def test_a_new_one_is_made_for_its_owner_alone(layout: Layout) -> None:
    make_private(layout)
    assert mode(layout.data) == 0o700


def test_an_empty_one_is_shut(layout: Layout) -> None:
    layout.data.mkdir(mode=0o755)
    make_private(layout)
    assert mode(layout.data) == 0o700


@pytest.mark.parametrize("left", ["stack.json", "stack.lock"])
def test_one_of_an_older_release_is_shut(layout: Layout, left: str) -> None:
    layout.data.mkdir(mode=0o755)
    (layout.data / left).touch()
    make_private(layout)
    assert mode(layout.data) == 0o700


def test_a_folder_of_other_things_that_others_may_read_is_refused_and_left_alone(layout: Layout) -> None:
    layout.data.mkdir()
    layout.data.chmod(0o750)
    (layout.data / "thesis.tex").touch()
    with pytest.raises(CannotStart, match=r"to be empty or for its owner alone.*mode 0750.*chmod 700"):
        make_private(layout)
    assert mode(layout.data) == 0o750
    layout.data.chmod(0o700)
    make_private(layout)


def test_the_folder_of_another_user_is_refused(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    make_private(layout)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(CannotStart, match=rf"to belong to user {os.getuid() + 1}.*user {os.getuid()}"):
        make_private(layout)


def test_what_an_older_release_left_is_shut_and_counted(layout: Layout, tmp_path: Path) -> None:
    segment = layout.kafka / "log" / "jobs-0" / "00.log"
    own = layout.processes / "node-1" / "attempts" / "log.txt"
    segment.parent.mkdir(parents=True)
    own.parent.mkdir(parents=True)
    for path in (segment, own):
        path.write_text("a prompt")
        path.chmod(0o644)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch(mode=0o644)
    (layout.kafka / "link").symlink_to(elsewhere)
    loose = [path for path in layout.data.rglob("*") if not path.is_symlink() and mode(path) & 0o077]
    assert tighten(layout) == len(loose) >= 2
    assert not [path for path in layout.data.rglob("*") if not path.is_symlink() and mode(path) & 0o077]
    assert mode(elsewhere) & 0o044, "no link is followed"
    assert tighten(layout) == 0


def test_files_of_a_depot_which_have_names_elsewhere_are_left_alone(layout: Layout) -> None:
    wheel = layout.processes / "node-1" / "depot" / "environments" / "a" / "wheel.py"
    wheel.parent.mkdir(parents=True)
    wheel.parent.chmod(0o755)
    wheel.touch()
    wheel.chmod(0o444)
    tighten(layout)
    assert mode(wheel) == 0o444
    assert mode(wheel.parent) == 0o755, "a model may be another user"
    assert mode(layout.processes / "node-1" / "depot") & 0o077 == 0
