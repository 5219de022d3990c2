"""A cgroup for each child, where this process may make one: the kernel then ends all that a child started at once.

A process that forks faster than `strays` looks could go on for ever otherwise. Needs cgroup v2 with `cgroup.kill`
(Linux 5.14) in which this process may make directories: as root, or where systemd delegates (`Delegate=yes`). A model
that runs as the same user could move itself elsewhere; then it is a stray like any other.

Where the controllers are delegated too, a child has no more memory than its slot, and so many processes. The kernel
gives controllers only to cgroups beside which no process is, so the node moves into one of its own for that.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

PREFIX = "headrace"
LIMITED = ("memory", "pids")
"""Controllers."""
PROCESSES_MAX = 4096
"""Processes and threads of one child. Libraries of linear algebra start a thread for each core, several times over."""

_NAME = re.compile(rf"{PREFIX}-(\d+)-(\d+)")
"""<prefix>-<agent's process id>-<child's process id>"""


class ChildCgroups:
    """For the agent's main thread."""

    def __init__(self, base: Path) -> None:
        """`base`: the cgroup of this process, in which it may make others."""
        self._base = base
        self.ended: list[Path] = []
        """Of children that ended, those that are not empty yet."""

    def put(self, pid: int, memory_mib: int = 0) -> None:
        """Put a child, before it starts anything, into a cgroup of its own. Without one it is only a process group.
        `memory_mib`: of its slot; 0: not known."""
        with contextlib.suppress(OSError):
            self._of(pid).mkdir()
            limit(self._of(pid), memory_mib)
            (self._of(pid) / "cgroup.procs").write_text(str(pid))

    def end(self, pid: int) -> None:
        """The child ended: kill what is left in its cgroup."""
        _kill(self._of(pid))
        self.ended.append(self._of(pid))

    def clear(self) -> None:
        """Remove the cgroups of children that ended, as soon as they are empty."""
        self.ended = [group for group in self.ended if not _removed(group)]

    def end_former(self) -> None:
        """Kill what is left in cgroups of agents that were killed, and remove the cgroups in which they were."""
        for own in self._base.glob(f"{PREFIX}-node-*"):
            _removed(own)
        for group in self._base.glob(f"{PREFIX}-*"):
            found = _NAME.fullmatch(group.name)
            if found is not None and not Path(f"/proc/{found[1]}").exists():
                _kill(group)
                self.ended.append(group)

    def _of(self, pid: int) -> Path:
        return self._base / f"{PREFIX}-{os.getpid()}-{pid}"


def own_cgroup() -> Path | None:
    """The cgroup of this process, if it may make others there that the kernel can end at once."""
    try:
        base = _base()
        if base is None:
            return None
        probe = base / f"{PREFIX}-{os.getpid()}-0"
        probe.mkdir()
        can_kill = (probe / "cgroup.kill").exists()
        probe.rmdir()
    except OSError:
        return None
    return base if can_kill else None


def with_limits(base: Path) -> tuple[str, ...]:
    """Which of LIMITED the cgroups have that this process makes in its own one. This process may be in another cgroup
    then, below that."""
    try:
        have = set(_words_of(base, "cgroup.controllers")) & set(LIMITED)
        missing = have - set(_words_of(base, "cgroup.subtree_control"))
        if missing and not (base / "cgroup.type").exists():
            return ()  # the root of all cgroups, which is the machine's to set up
        if missing and not _delegates(base, missing):
            _step_aside(base, missing)
        return tuple(sorted(have & set(_words_of(base, "cgroup.subtree_control"))))
    except OSError:
        return ()


def limit(group: Path, memory_mib: int) -> None:
    """Have what the cgroup may use up limited, as far as it has controllers. OSError."""
    limits = {"pids.max": str(PROCESSES_MAX)}
    if memory_mib:
        limits |= {"memory.max": str(memory_mib * 2**20), "memory.oom.group": "1"}  # all of the child ends, or none
    for name, text in limits.items():
        if (group / name).exists():
            (group / name).write_text(text)


def _delegates(base: Path, controllers: set[str]) -> bool:
    try:
        (base / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in sorted(controllers)))
    except OSError:
        return False
    return True


def _step_aside(base: Path, controllers: set[str]) -> None:
    """Leave the cgroup, so that it may delegate; come back when it may not all the same: others are in it. OSError."""
    own = base / f"{PREFIX}-node-{os.getpid()}"
    own.mkdir()
    (own / "cgroup.procs").write_text(str(os.getpid()))
    if not _delegates(base, controllers):
        (base / "cgroup.procs").write_text(str(os.getpid()))
        own.rmdir()


def _words_of(base: Path, name: str) -> list[str]:
    return (base / name).read_text().split()


def _base() -> Path | None:
    own = next((line[3:] for line in _lines("/proc/self/cgroup") if line.startswith("0::")), None)
    for line in _lines("/proc/self/mountinfo"):
        mount, _, more = line.partition(" - ")
        if own is not None and more.startswith("cgroup2 "):
            _, _, _, root, place, *_ = mount.split(" ")
            inside = own if root == "/" else own.removeprefix(root)
            return Path(place) / inside.strip("/")
    return None


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _kill(group: Path) -> None:
    with contextlib.suppress(OSError):  # there is no such cgroup
        (group / "cgroup.kill").write_text("1")


def _removed(group: Path) -> bool:
    """False while a process is in it."""
    try:
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
