"""Child processes that cannot outlive us, each with its log file.

The kernel ends a child when we end, however we end (PR_SET_PDEATHSIG, by `setpriv` of util-linux). More exactly, the
kernel does this when the *thread* that started the child ends. So one thread, which lives as long as the process,
starts every child. A child that is so young that `setpriv` had not asked for the signal when we ended sees that its
parent is another one, and ends (ORPHAN_ENDS); else it would live for ever.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

from local.errors import CannotStart
from local.own_files import appended
from runtime.private_files import UMASK

_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")

ORPHAN_ENDS = '[ "$PPID" = "$0" ] || exit 1; exec "$@"'
"""A shell's words, run once the signal is set: `$0` is the process that started the child."""

LOG_TAIL_BYTES = 2_000
LOG_BYTES_MAX = 50 * 1024 * 1024
"""A larger log is renamed to .1 when its process starts."""


class Process:
    """A program with its arguments, environment and log file; started, stopped and started again."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        directory: Path | None = None,
        privileges: Sequence[str] = (),
        death_signal: Signals = SIGKILL,
    ) -> None:
        """`directory`: where the program runs; None: where we run. `privileges`: further arguments of `setpriv`.
        `death_signal`: the signal that the child gets when we end."""
        self.name = name
        self.command = list(command)
        self.log = log
        self.env = dict(env) if env is not None else None
        self.directory = directory
        self._wrapper = ["setpriv", f"--pdeathsig={death_signal.name}", *privileges, "--"]
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the program unless it runs. Its output is appended to the log file."""
        if self.alive():
            return
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MAX:
            self.log.replace(self.log.with_name(self.log.name + ".1"))
        self._child = _spawner.submit(self._spawn).result()

    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """0 before the first start."""
        return self._child.pid if self._child is not None else 0

    @property
    def exit_status(self) -> int | None:
        """None while the program runs and before the first start. A negative number is the signal that ended it."""
        return self._child.poll() if self._child is not None else None

    def signal(self, number: Signals) -> None:
        if self._child is not None and self.alive():
            self._child.send_signal(number)

    def kill(self) -> None:
        """End the program at once (SIGKILL) and wait until it is gone."""
        self.signal(SIGKILL)
        self.wait(30)

    def stop(self, timeout_s: float, number: Signals = SIGTERM) -> bool:
        """Ask the program to end, and kill it after `timeout_s`. Whether it ended by itself."""
        self.signal(number)
        if self.wait(timeout_s):
            return True
        self.kill()
        return False

    def wait(self, timeout_s: float) -> bool:
        """Whether the program is gone within `timeout_s`."""
        if self._child is None:
            return True
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def await_ready(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until `ready()`. CannotStart, with the end of the log, when the process ends or time is up."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.alive():
                raise CannotStart(
                    f"{self.name} to run",
                    f"exit status {self.exit_status}; the end of {self.log}:\n{self.log_tail()}\n",
                    "Mend what the log says and start again",
                )
            if time.monotonic() > deadline:
                raise CannotStart(
                    f"{self.name} to be ready within {timeout_s:.0f} s",
                    f"that it is not; the end of {self.log}:\n{self.log_tail()}\n",
                    "Look at the log; on a slow or busy machine start again",
                )
            time.sleep(0.02)

    def log_tail(self) -> str:
        if not self.log.exists():
            return "(empty)"
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - LOG_TAIL_BYTES))
            return file.read().decode(errors="replace").strip() or "(empty)"

    def _spawn(self) -> subprocess.Popen[bytes]:
        with appended(self.log) as log:
            return subprocess.Popen(
                [*self._wrapper, "sh", "-c", ORPHAN_ENDS, str(os.getpid()), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
                cwd=self.directory,
                umask=UMASK,
                start_new_session=True,  # Ctrl-C in a terminal must reach us alone: we stop the children in order
            )
