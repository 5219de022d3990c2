"""Cgroups of children, in a directory that stands for the kernel's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.worker import cgroups
from runtime.worker.cgroups import ChildCgroups, limit, own_cgroup, with_limits

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


def test_a_child_has_no_more_than_its_slot_where_that_can_be_limited(base: Path) -> None:
    for name in ("pids.max", "memory.max", "memory.oom.group"):
        (base / name).touch()
    limit(base, 0)
    assert [(base / name).read_text() for name in ("pids.max", "memory.max")] == ["4096", ""]
    limit(base, 512)
    assert [(base / name).read_text() for name in ("memory.max", "memory.oom.group")] == [str(512 * 2**20), "1"]
    (base / "pids.max").unlink()
    limit(base, 0)
    assert not (base / "pids.max").exists(), "no controller, no file"


def test_the_limits_are_those_of_the_childs_slot(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Path, int]] = []
    monkeypatch.setattr(cgroups, "limit", lambda *limits: seen.append(limits))
    ChildCgroups(base).put(CHILD, 512)
    assert seen == [(group(base), 512)]


def test_controllers_are_asked_for_where_they_are_delegated(base: Path) -> None:
    (base / "cgroup.controllers").write_text("cpu memory pids\n")
    (base / "cgroup.subtree_control").write_text("memory\n")
    assert with_limits(base) == (), "as the root of all cgroups, nothing is changed"
    assert (base / "cgroup.subtree_control").read_text() == "memory\n"
    (base / "cgroup.type").write_text("domain\n")
    with_limits(base)
    assert (base / "cgroup.subtree_control").read_text() == "+pids"
    (base / "cgroup.subtree_control").write_text("memory pids\n")
    assert with_limits(base) == ("memory", "pids")


def test_a_node_that_cannot_make_room_stays_where_it_was(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where its supervisor is in the same cgroup."""
    for name, text in {"controllers": "memory", "subtree_control": "", "type": "domain", "procs": ""}.items():
        (base / f"cgroup.{name}").write_text(text)
    monkeypatch.setattr(cgroups, "_delegates", lambda *_: False)
    monkeypatch.setattr(Path, "rmdir", lambda path: empty(path))
    assert with_limits(base) == ()
    assert (base / "cgroup.procs").read_text() == str(os.getpid())


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
