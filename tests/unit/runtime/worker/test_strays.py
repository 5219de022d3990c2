"""Strays by the kernel's answers: which are killed, how often to look again, when to give one up."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from runtime.worker import strays
from runtime.worker.strays import LOOK_MAX, UNDYING_S, Strays

KNOWN, OURS = 2, 3
OWN_SESSION = 1


class Kernel:
    """Children of this process; those in `lasting` do not die."""

    def __init__(self) -> None:
        self.children = [KNOWN, OURS]
        self.lasting: set[int] = set()
        self.heirs: dict[int, int] = {}
        """By process, whom this process inherits when it is reaped."""
        self.killed: list[int] = []
        self.now_s = 0.0

    def kill(self, pid: int, number: int) -> None:
        assert number == signal.SIGKILL
        self.killed.append(pid)

    def waitpid(self, pid: int, _options: int) -> tuple[int, int]:
        if pid in self.lasting:
            return 0, 0
        self.children.remove(pid)
        if pid in self.heirs:
            self.children.append(self.heirs[pid])
        return pid, signal.SIGKILL

    def getsid(self, pid: int) -> int:
        return OWN_SESSION if pid in (0, OURS) else pid


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    for name in ("kill", "waitpid", "getsid"):
        monkeypatch.setattr(os, name, getattr(kernel, name))
    monkeypatch.setattr(time, "monotonic", lambda: kernel.now_s)
    monkeypatch.setattr(strays, "children_of_this_process", lambda: list(kernel.children))
    return kernel


@pytest.fixture
def found(kernel: Kernel) -> Strays:
    """Of a process that adopts; the test's own does not."""
    found: Any = Strays()
    found._adopts = True
    found.know(KNOWN)
    return found  # type: ignore[no-any-return]


def test_what_the_agent_started_is_left_alone(kernel: Kernel, found: Strays) -> None:
    assert found.clear() == 0
    assert kernel.killed == []
    found.forget(KNOWN)
    assert found.clear() == 1, "the number is another's now"


def test_a_process_that_does_not_adopt_ends_nobody(kernel: Kernel) -> None:
    kernel.children = [7]
    assert Strays().clear() == 0
    assert kernel.killed == []


def test_what_a_stray_leaves_when_it_is_reaped_is_looked_for(kernel: Kernel, found: Strays) -> None:
    kernel.children.append(7)
    kernel.heirs = {7: 8, 8: 9}
    while found.clear():
        pass
    assert kernel.killed == [7, 8, 9]


def test_a_stray_that_does_not_die_is_told_of_once_and_waited_for_no_more(kernel: Kernel, found: Strays) -> None:
    kernel.children.append(7)
    kernel.lasting = {7}
    with capture_logs() as lines:
        assert found.clear() == 1
        kernel.now_s = UNDYING_S
        assert [found.clear() for _ in range(3)] == [0, 0, 0]
    assert [line["pid"] for line in lines] == [7]
    kernel.lasting = set()
    assert found.clear() == 1
    assert found.clear() == 0


def test_one_look_ends_a_bounded_number(kernel: Kernel, found: Strays) -> None:
    kernel.children += range(10, 10 + LOOK_MAX + 1)
    assert [found.clear() for _ in range(3)] == [LOOK_MAX, 1, 0]
