"""A cgroup for each child, where this process may make one: the kernel then ends all that a child started at once.

A process that forks faster than `strays` looks could go on for ever otherwise. Needs cgroup v2 with `cgroup.kill`
(Linux 5.14) in which this process may make directories: as root, or where systemd delegates (`Delegate=yes`). A model
that runs as the same user could move itself elsewhere; then it is a stray like any other.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

PREFIX = "headrace"

_NAME = re.compile(rf"{PREFIX}-(\d+)-(\d+)")
"""<prefix>-<agent's process id>-<child's process id>"""


class ChildCgroups:
    """For the agent's main thread."""

    def __init__(self, base: Path) -> None:
        """`base`: the cgroup of this process, in which it may make others."""
        self._base = base
        self.ended: list[Path] = []
        """Of children that ended, those that are not empty yet."""

    def put(self, pid: int) -> None:
        """Put a child, before it starts anything, into a cgroup of its own. Without one it is only a process group."""
        with contextlib.suppress(OSError):
            self._of(pid).mkdir()
            (self._of(pid) / "cgroup.procs").write_text(str(pid))

    def end(self, pid: int) -> None:
        """The child ended: kill what is left in its cgroup."""
        _kill(self._of(pid))
        self.ended.append(self._of(pid))

    def clear(self) -> None:
        """Remove the cgroups of children that ended, as soon as they are empty."""
        self.ended = [group for group in self.ended if not _removed(group)]

    def end_former(self) -> None:
        """Kill what is left in cgroups of agents that were killed."""
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
