"""One encoder: a process behind the layers of a model's child, watched until it ends, is unwanted or takes too long.

What it reads is a model's bytes, so it is no more trusted than the model: it has no network, sees no file but its
program and its own directory, and its words are cut.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

from runtime.private_files import UMASK
from runtime.worker.child_process import END_ALL

LOOK_S = 0.2
"""How often to look whether anybody still wants what is encoded."""
WORDS_BYTES_MAX = 2_000
"""Of what the encoder says, only the end is kept."""
ENDING_S = 5.0
"""How long an encoder that was killed may take to end."""
NICE = 10
"""Models come first: an encoder takes the cores that they leave."""


class EncoderFailed(Exception):
    """The encoder did not do its work. The message may be stored for the job's owner."""

    def __init__(self, name: str, message: str) -> None:
        """`name`: one of contract.error_names."""
        super().__init__(message)
        self.name = name


def run_encoder(
    command: Sequence[str],
    environment: Mapping[str, str],
    directory: str,
    raw: int,
    limit_s: float,
    look: Callable[[], None],
    *,
    is_kept: bool,
) -> None:
    """Have the command read the open file `raw` from its beginning. `look` raises when nobody wants the result: the
    process has ended when that is raised further. `is_kept`: as of runtime.worker.child_process.ChildProcess.

    EncoderFailed; OSError when it cannot be started."""
    os.lseek(raw, 0, os.SEEK_SET)
    heard, said = os.pipe()
    try:
        try:
            process = subprocess.Popen(
                command,
                stdin=raw,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=dict(environment),
                cwd=directory,
                process_group=0,  # in the agent's session, so that it is never taken for a stray
                umask=UMASK,
            )
        finally:
            os.close(said)
        with contextlib.suppress(OSError):  # it ended already
            os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        words = _Words(heard)
        try:
            status = _wait(process, words, limit_s, look)
        finally:
            _end(process, is_kept=is_kept)
        words.hear_last()
    finally:
        os.close(heard)
    if status is None:
        raise EncoderFailed("TimeOut", f"expected the encoder to be done within {limit_s:g} s, found it at work")
    if status:
        name = f"Signal{-status}" if status < 0 else f"Exit{status}"
        raise EncoderFailed(name, f"expected the encoder to do its work, found that it ended with {name}: {words.end}")


class _Words:
    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self._heard = b""
        self.is_over = False

    @property
    def end(self) -> str:
        return self._heard.decode("utf-8", "replace").strip() or "it said nothing"

    def hear(self) -> None:
        try:
            data = os.read(self.fd, 65_536)
        except BlockingIOError:
            return
        self.is_over = not data
        self._heard = (self._heard + data)[-WORDS_BYTES_MAX:]

    def hear_last(self) -> None:
        """The process has ended: at most what a pipe holds is left."""
        if not self.is_over:
            self.hear()


def _wait(process: subprocess.Popen[bytes], words: _Words, limit_s: float, look: Callable[[], None]) -> int | None:
    """The exit status; None when the time is over."""
    until_s = time.monotonic() + limit_s
    ended = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        poll.register(words.fd, select.POLLIN)
        while process.poll() is None:
            look()
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return None
            for fd, _ in poll.poll(1000 * min(LOOK_S, left_s)):
                if fd == words.fd:
                    words.hear()
            if words.is_over:
                poll.unregister(words.fd)
                words.is_over = False
        return process.returncode
    finally:
        os.close(ended)


def _end(process: subprocess.Popen[bytes], *, is_kept: bool) -> None:
    """No process of the encoder is left."""
    if process.poll() is not None:
        return
    process.send_signal(END_ALL if is_kept else signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(ENDING_S)
        return
    process.kill()
    process.wait()
