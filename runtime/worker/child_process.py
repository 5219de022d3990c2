"""One child process as the agent sees it: started with a scrubbed environment, spoken to without ever waiting, killed
for certain.

Everything here runs in the agent's main thread, which must outlive every child: PR_SET_PDEATHSIG ends a child when the
thread that started it ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Generic

import msgspec
import structlog

from runtime.private_files import UMASK
from runtime.worker import metrics
from runtime.worker.frames import BadFrame, FrameDecoder, Message, encode

log = structlog.get_logger(__name__)

_RECEIVE_BYTES = 16 * 1024
"""Each receive allocates this much. Most frames are a few hundred bytes."""

END_ALL = signal.SIGUSR1
"""To a keeper (runtime/worker/layers/processes.py), which would leave the child behind if it were killed itself."""

FIRST = 1
"""The parent's id, as a child that is kept sees it."""

UNDYING_S = 30.0
"""When a process that was killed still lives after this time, the log says so, and nobody waits for it any longer. A
driver may take some 10 s to free the memory of a large GPU."""


class ChildProcess(Generic[Message]):
    """A running child. `fileno`, `log_fd` and `pid_fd` become readable when a frame, prints, or its end are there."""

    def __init__(
        self,
        python: str,
        program: Path,
        environment: Mapping[str, str],
        directory: str,
        frames: FrameDecoder[Message],
        before: Sequence[str] = (),
        *,
        is_kept: bool = False,
        descriptors: Sequence[int] = (),
    ) -> None:
        """The interpreter `python` runs `program FD PARENT`: the child's end of the pipe, and the id of its parent.
        `before`: a command that becomes that interpreter. `is_kept`: a command that keeps that interpreter in processes
        of its own: it passes SIGTERM on, ends all of them when it gets END_ALL, and ends once they have. `descriptors`:
        open ones that `before` gets as they are.

        OSError when the child cannot be started (no such interpreter, no memory, no space)."""
        parent = FIRST if is_kept else os.getpid()
        ours, theirs = socket.socketpair()
        log_read, log_write = os.pipe()
        command = [*before, python, "-I", "-B", str(program), str(theirs.fileno()), str(parent)]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log_write,
                stderr=log_write,
                pass_fds=(theirs.fileno(), *descriptors),
                env=dict(environment),
                cwd=directory,
                start_new_session=True,
                umask=UMASK,
            )
            self.pid_fd = self._pid_fd()
        except BaseException:  # no end of a pipe is left open, whatever stopped us
            ours.close()
            os.close(log_read)
            raise
        finally:
            theirs.close()
            os.close(log_write)
        ours.setblocking(False)
        os.set_blocking(log_read, False)
        self._socket = ours
        self._unsent = bytearray()
        self._frames = frames
        self._killed_s: float | None = None
        self._is_kept = is_kept
        self.is_undying = False
        """It was killed UNDYING_S ago and lives on."""
        self.log_fd = log_read

    def _pid_fd(self) -> int:
        """OSError, and no process is left, when the system has no free descriptor."""
        try:
            return os.pidfd_open(self._process.pid)
        except OSError:
            self._process.kill()
            self._process.wait()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: msgspec.Struct) -> bool:
        """Send a frame, or its beginning. True when all is sent; else call `send_rest` once the pipe is writable."""
        self._unsent += encode(message)
        return self.send_rest()

    def send_rest(self) -> bool:
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            return False
        except OSError:
            self._unsent.clear()  # the child is gone; pid_fd says so
        return True

    def receive(self) -> list[Message | BadFrame] | None:
        """The messages that have arrived, at most 16 KiB of them; None when the child closed its end.

        The last is a BadFrame when the child sent something else."""
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            return None
        return self._frames.feed(data) if data else None

    def printed(self) -> bytes | None:
        """What the child has written to stdout and stderr since, at most 64 KiB at a time; None at their end."""
        try:
            return os.read(self.log_fd, 65536) or None
        except BlockingIOError:
            return b""
        except OSError:
            return None

    def terminate(self) -> None:
        """Ask the whole process group to end."""
        self._signal_group(signal.SIGTERM)

    def kill(self) -> None:
        """End the whole process group, for certain."""
        if self._killed_s is None:
            self._killed_s = time.monotonic()
        self._signal_group(signal.SIGKILL)

    def insist(self) -> None:
        """Kill the child again. The log says once that it lives on, UNDYING_S after the first kill."""
        self.kill()
        if not self.is_undying and self._killed_s is not None and time.monotonic() - self._killed_s >= UNDYING_S:
            self.is_undying = True
            metrics.children_undying.inc()
            log.error(
                "a child does not die: expected its process to end once it was killed, found it alive; its slot is set"
                " aside until the process ends, and the node goes on with its other slots. A device or a file system"
                " holds it: look at those, or start the machine anew",
                pid=self.pid,
                after_s=UNDYING_S,
            )

    def ended(self, within_s: float = 0.0) -> int | None:
        """End what is left of the process group, and take the child's exit status, negative for a signal.

        None when there is no status within the time: the child has not ended, or its tracer has not let it go."""
        self._signal_group(signal.SIGKILL)
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """Close all descriptors of this child that are open here."""
        self._socket.close()
        os.close(self.log_fd)
        os.close(self.pid_fd)
        if self.is_undying:
            metrics.children_undying.dec()

    def _signal_group(self, number: signal.Signals) -> None:
        if self._process.returncode is not None:
            return
        if self._is_kept:
            self._process.send_signal(END_ALL if number == signal.SIGKILL else number)
            return
        # A group keeps its number until its leader is reaped, so this signal cannot hit a stranger.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
