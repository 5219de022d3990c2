"""Processes that children of a node left behind: found, killed and reaped.

Theory of operation. A process may leave its group and its session (setsid, a double fork), but not the tree of who
started whom: the kernel gives a process that lost its parent to the nearest *subreaper* above. Each child makes itself
one (run_model.py), so what a model detached stays below the model while the model lives, and is no stray. The agent is
one too: what a dead child left becomes the agent's own child. A stray is therefore a child of the agent which the agent
did not start. Everything that the agent starts is in the agent's session, or is a ChildProcess, which is `known`; what
a child starts can never enter the agent's session. So nothing else is ever taken for a stray.

Killing a stray hands what the stray started to the agent, which the next look finds. A process that forks faster than
the agent looks is ended by its child's cgroup, where the node may make one (`cgroups`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from runtime.worker import metrics
from runtime.worker.cgroups import ChildCgroups, own_cgroup, with_limits

log = structlog.get_logger(__name__)

PR_SET_CHILD_SUBREAPER = 36

UNDYING_S = 5.0
"""How long a killed stray may take to end. It holds no slot: after this time the node goes on, and the log says so."""

LOOK_MAX = 1000
"""The most strays that one look ends: a look is made on the loop that sends heartbeats. The next look ends more."""


class Strays:
    """For the agent's main thread. Until `adopt` nothing is a stray, as in tests whose process has other children."""

    def __init__(self) -> None:
        self._adopts = False
        self._cgroups: ChildCgroups | None = None
        self._known: set[int] = set()
        self._killed_s: dict[int, float] = {}
        """When each stray that has not ended was first killed (monotonic clock)."""
        self._undying: set[int] = set()

    def adopt(self) -> None:
        """From now on what dead children left becomes a child of this process, and is ended."""
        self._adopts = ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
        if not self._adopts:
            log.warning(
                "processes that leave their group stay: expected the system to give this node what its children leave"
                " (PR_SET_CHILD_SUBREAPER), found that it does not; end them by a container of the node's own"
            )
        base = own_cgroup()
        limited = with_limits(base) if base is not None else ()
        if base is not None:
            self._cgroups = ChildCgroups(base)
            self._cgroups.end_former()
        log.info(
            "what models detach is ended",
            by_subreaper=self._adopts,
            by_cgroup=str(base or "none may be made"),
            limited=limited,
        )

    def know(self, pid: int, memory_mib: int = 0) -> None:
        """This process, which has started nothing yet, is a child of the agent's own making, until `forget`.
        `memory_mib`: what it may use; 0: not known."""
        self._known.add(pid)
        if self._cgroups is not None:
            self._cgroups.put(pid, memory_mib)

    def forget(self, pid: int) -> None:
        """The process was reaped: its number may be another's from now on. What it left is to be ended."""
        self._known.discard(pid)
        if self._cgroups is not None:
            self._cgroups.end(pid)

    def clear(self) -> int:
        """Kill every stray, and reap those that ended. How many there were: look again until there are none, because
        what a stray had started is a stray now. A stray that does not die within UNDYING_S is told of, and counts no
        more."""
        if self._cgroups is not None:
            self._cgroups.clear()
        if not self._adopts:
            return 0
        count = 0
        now_s = time.monotonic()
        found = set()
        for pid in self._found():
            if pid not in self._killed_s:
                metrics.strays_killed.inc()
            if self._ended(pid):
                count += 1
                continue
            found.add(pid)
            if now_s - self._killed_s.setdefault(pid, now_s) < UNDYING_S:
                count += 1
            elif pid not in self._undying:
                self._tell(pid)
        self._killed_s = {pid: since_s for pid, since_s in self._killed_s.items() if pid in found}
        self._undying &= found
        metrics.strays_undying.set(len(self._undying))
        return count

    def _found(self) -> list[int]:
        own_session = os.getsid(0)
        found = []
        for pid in children_of_this_process():
            if pid in self._known:
                continue
            with contextlib.suppress(OSError):  # the process is gone
                if os.getsid(pid) != own_session:
                    found.append(pid)
            if len(found) == LOOK_MAX:
                break
        return found

    def _ended(self, pid: int) -> bool:
        """Kill the process, and reap it if it has ended. Its number is not another's before that."""
        with contextlib.suppress(OSError):  # a process with other rights cannot be killed: it counts as undying later
            os.kill(pid, signal.SIGKILL)
        try:
            return os.waitpid(pid, os.WNOHANG) != (0, 0)
        except ChildProcessError:
            return True

    def _tell(self, pid: int) -> None:
        self._undying.add(pid)
        log.error(
            "a process that a model left does not die: expected it to end once it was killed, found it alive. A device"
            " or a file system holds it, or it runs as another user: look at those, or start the machine anew",
            pid=pid,
            after_s=UNDYING_S,
        )


def children_of_this_process() -> Iterator[int]:
    """Process ids of all children, whichever thread started them. A child that ends meanwhile may hide another."""
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # the thread is gone
            yield from map(int, (task / "children").read_bytes().split())


def end_those_in(home: str) -> int:
    """Kill all processes that were started with a home below this directory; how many. A node that was killed left
    them to somebody else: the next node in its scratch ends them."""
    prefix, ended = f"HOME={home}/".encode(), 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # another user's, or gone
            if any(part.startswith(prefix) for part in (entry / "environ").read_bytes().split(b"\0")):
                os.kill(int(entry.name), signal.SIGKILL)
                ended += 1
    return ended
