"""Cgroups of children, in a directory that stands for the kernel's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.worker import cgroups
from runtime.worker.cgroups import ChildCgroups, own_cgroup

CHILD = 4711


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path


def group(base: Path, agent: int = os.getpid()) -> Path:
    return base / f"headrace-{agent}-{CHILD}"


def empty(group: Path) -> None:
    """As the kernel does once nothing is left: its files do not keep a directory."""
    for file in group.iterdir():
        file.unlink()


def test_a_child_has_a_cgroup_of_its_own_until_nothing_is_left_of_it(base: Path) -> None:
    groups = ChildCgroups(base)
    groups.put(CHILD)
    assert (group(base) / "cgroup.procs").read_text() == str(CHILD)
    groups.end(CHILD)
    assert (group(base) / "cgroup.kill").read_text() == "1"
    groups.clear()
    assert group(base).exists(), "something in it has not ended"
    empty(group(base))
    groups.clear()
    assert not group(base).exists()


def test_what_an_agent_that_was_killed_left_is_ended_and_nothing_else(base: Path) -> None:
    gone, other = group(base, 2**30), base / "headrace-api"
    for folder in (gone, group(base), other):
        folder.mkdir()
    groups = ChildCgroups(base)
    groups.end_former()
    assert [folder for folder in base.iterdir() if (folder / "cgroup.kill").exists()] == [gone]
    empty(gone)
    groups.clear()
    assert sorted(base.iterdir()) == sorted([group(base), other])


@pytest.mark.parametrize(
    ("own", "mounts", "inside"),
    [
        ("0::/a/b", "31 24 0:27 / {base} rw shared:4 - cgroup2 cgroup2 rw", "a/b"),
        ("0::/a/b", "31 24 0:27 /a {base} rw - cgroup2 cgroup2 rw", "b"),
        ("1:cpu:/x\n0::/", "30 1 0:1 / /x rw - cgroup x rw\n31 24 0:27 / {base} rw - cgroup2 cgroup2 rw", ""),
    ],
)
def test_its_own_cgroup_is_found(
    base: Path, monkeypatch: pytest.MonkeyPatch, own: str, mounts: str, inside: str
) -> None:
    said = {"/proc/self/cgroup": own, "/proc/self/mountinfo": mounts.format(base=base)}
    monkeypatch.setattr(cgroups, "_lines", lambda path: said[path].splitlines())
    assert own_cgroup() is None, "there is no cgroup.kill"
    assert cgroups._base() == base / inside


def test_a_system_without_cgroups_serves_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "_lines", lambda _: [])
    assert own_cgroup() is None
