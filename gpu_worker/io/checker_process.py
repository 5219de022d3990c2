"""Checker processes as the agent sees them: a process is started when a check needs one, kept for the next check, and
killed when a check takes too long. `checker` is the program."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time

from gpu_worker.io.checker import (
    CHECK_S,
    FITS,
    KINDS,
    LENGTH_BYTES,
    PART_BYTES_MAX,
    READY,
    SENTENCE_CHARACTERS_MAX,
    OutputFault,
)

START_S = 60.0
"""How long a checker may take to start. On a busy machine, imports take long."""

ENDING_S = 5.0

ANSWER_BYTES_MAX = 1 + 4 * SENTENCE_CHARACTERS_MAX


class CheckAborted(Exception):
    """The check has no answer. The message is for the log."""

    def __init__(self, name: str, message: str) -> None:
        """`name`: an identifier, for the attempt's report."""
        super().__init__(message)
        self.name = name


class CheckerNotStarted(Exception):
    """No checker can be started: the fault is this node's, not that of the values."""


class Checkers:
    """As many processes as threads that check at the same time. For any thread."""

    def __init__(self, check_s: float = CHECK_S) -> None:
        self._check_s = check_s
        self._lock = threading.Lock()
        self._idle: list[_Checker] = []

    def fault(self, schema: bytes, values: bytes) -> OutputFault | None:
        """Why the values (JSON) cannot be held or break the schema (JSON); None when they fit.

        CheckAborted when the check has no answer; CheckerNotStarted, OSError when this node cannot check."""
        if max(len(schema), len(values)) > PART_BYTES_MAX:
            raise CheckAborted(
                "ValidationTooLarge", f"expected at most {PART_BYTES_MAX} bytes of a schema and of values"
            )
        with self._lock:
            checker = self._idle.pop() if self._idle else None
        if checker is None or not checker.alive():
            checker = _Checker()
        try:
            answer = checker.ask(schema, values, self._check_s)
        except BaseException:  # a late answer must not be taken for that of the next check
            checker.end()
            raise
        with self._lock:
            self._idle.append(checker)
        return answer

    def close(self) -> None:
        """End the idle checkers. A checker that checks ends with this process."""
        with self._lock:
            checkers, self._idle = self._idle, []
        for checker in checkers:
            checker.end()


class _Checker:
    """One process, for one thread at a time."""

    def __init__(self) -> None:
        """CheckerNotStarted, OSError."""
        self._socket, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-s", "-m", "gpu_worker.io.checker", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,  # the text of an error may quote the values
                    pass_fds=(theirs.fileno(),),
                    env={
                        "PYTHONPATH": os.pathsep.join(filter(None, sys.path))
                    },  # imports find what they find in this process
                    cwd="/",
                    process_group=0,  # in the agent's session, so that it is never taken for a stray
                )
            except BaseException:  # leave no end of the pair open, whatever went wrong
                self._socket.close()
                raise
        self._socket.settimeout(START_S)
        try:
            if self._socket.recv(1) != READY:
                raise CheckerNotStarted
        except (OSError, CheckerNotStarted) as error:
            self.end()
            raise CheckerNotStarted from error

    def alive(self) -> bool:
        if self._process.poll() is None:
            return True
        self._socket.close()
        return False

    def ask(self, schema: bytes, values: bytes, within_s: float) -> OutputFault | None:
        """CheckAborted when there is no answer."""
        until_s = time.monotonic() + within_s
        lengths = b"".join(len(part).to_bytes(LENGTH_BYTES, "big") for part in (schema, values))
        try:
            self._socket.settimeout(within_s)
            self._socket.sendall(lengths + schema + values)
            length = int.from_bytes(self._receive(LENGTH_BYTES, until_s), "big")
            answer = self._receive(min(length, ANSWER_BYTES_MAX), until_s)
        except TimeoutError:
            raise CheckAborted(
                "ValidationTimeOut",
                f"expected a check of the values within {within_s:g} s, found that the check takes longer",
            ) from None
        except OSError:
            raise CheckAborted("ValidationDied", "expected an answer, found that the checker's process ended") from None
        kind, sentence = answer[:1], answer[1:].decode("utf-8", "replace")
        if kind not in (FITS, *KINDS):
            raise CheckAborted("ValidationDied", "expected an answer that says its kind, found another")
        return None if kind == FITS else OutputFault(kind, sentence)

    def _receive(self, size: int, until_s: float) -> bytes:
        received = b""
        while len(received) < size:
            self._socket.settimeout(max(0.001, until_s - time.monotonic()))
            part = self._socket.recv(size - len(received))
            if not part:
                raise ConnectionResetError
            received += part
        return received

    def end(self) -> None:
        """Kill the process, which takes a moment: it holds no device that could keep it alive."""
        self._socket.close()
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDING_S)
