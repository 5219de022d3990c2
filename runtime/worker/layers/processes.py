"""Processes of a child's own: the child sees nobody else's, and all of them end with it.

Three processes of ours have a part in it. The *keeper*, which the agent started and watches, stays outside. The *first*
process of the namespace goes behind all layers, and takes the statuses of what the child leaves behind: when it ends,
the kernel ends the rest. The *second* becomes the child's program, so that signals do to it what they do anywhere: the
kernel keeps most of them from a first process.

The keeper lives as long as anything of the child does, a process that a device holds too. So the agent does not kill
the keeper: END_ALL has the keeper end the first process. A keeper that is killed all the same takes the others along.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable
from typing import Any

from_kernel: Any = None
"""The module `kernel`, which `enter.py` puts here."""

END_ALL = signal.SIGUSR1
"""runtime.worker.child_process sends it."""

KEPT_FROM_KEEPER = {signal.SIGTERM, END_ALL, signal.SIGCHLD}
STATUS_BYTES = 4


class Kept:
    """The first process of the new namespace, in which the constructor returns. OSError."""

    def __init__(self, become_keeper: Callable[[], Any]) -> None:
        """`become_keeper`: what the keeper does once it has started the first process: it keeps no rights."""
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, KEPT_FROM_KEEPER)
        heard, self._status = os.pipe()
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        first = os.fork()
        if first:
            let_go(heard, nothing)
            become_keeper()
            keep(first, heard)
        os.close(heard)
        self._nothing = nothing
        os.setsid()  # a group of the child's own, to which SIGTERM is passed on

    def die_with_keeper(self) -> None:
        """OSError."""
        from_kernel.prctl(from_kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        look = select.poll()
        look.register(self._status, 0)
        if look.poll(0):  # nobody hears: the keeper died before the line above
            os._exit(0)

    def start_second(self) -> None:
        """Returns in the second process. OSError."""
        second = os.fork()
        if second == 0:
            os.close(self._status)
            os.close(self._nothing)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            return
        let_go(self._status, self._nothing)
        from_kernel.prctl(from_kernel.PR_SET_DUMPABLE, 0)  # nor does the child trace this process
        while True:
            ended, status = os.waitpid(-1, 0)
            if ended == second:
                os.write(self._status, status.to_bytes(STATUS_BYTES, "little"))
                os._exit(0)


def keep(first: int, heard: int) -> None:
    """Pass signals on until the first process has ended, then end as the program did. Never returns."""
    while True:
        number = signal.sigwait(KEPT_FROM_KEEPER)
        if number == signal.SIGCHLD:
            ended, status = os.waitpid(first, os.WNOHANG)
            if ended:
                end_like(int.from_bytes(os.read(heard, STATUS_BYTES), "little") or status)
            continue
        with contextlib.suppress(ProcessLookupError):  # the first process has no group yet: the next signal will do
            if number == END_ALL:
                os.kill(first, signal.SIGKILL)
            else:
                os.killpg(first, signal.SIGTERM)


def end_like(status: int) -> None:
    """Never returns."""
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number:
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


def let_go(wanted: int, nothing: int) -> None:
    """Hold nothing open but what is wanted: the agent tells from a pipe's end that the child closed it."""
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.closerange(3, wanted)
    os.closerange(wanted + 1, 2**31 - 1)
