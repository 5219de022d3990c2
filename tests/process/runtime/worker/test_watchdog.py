"""The watchdog, in processes of its own: the process of a loop that stands still ends; that of a loop that turns, or
that was suspended, goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from runtime.worker.watchdog import EXIT_STATUS, limit_s

DEADLINE_S = 60.0
LIMIT_S = 2.0

PROGRAM = f"""
import re, sys, time
from runtime.worker.loop import Loop
from runtime.worker.watchdog import Watchdog
from runtime.telemetry import configure_logging

def hang():
    time.sleep(3600)

def hold_the_lock():
    re.match("^(a+)+$", "a" * 60 + "b")

def work():
    time.sleep(0.25)  # the watchdog looks meanwhile
    tell()
    for _ in range(5):  # after a suspension the loop still works for a moment, and takes hardly any processor time
        time.sleep(0.02)

def leave():
    sys.exit(0)

def tell():
    print("turned", flush=True)

configure_logging("gpu_worker")
loop = Loop()
Watchdog(lambda: loop.turns, {LIMIT_S}, locked_s=2.0).start()
loop.post(tell)
loop.turn(None)
loop.watch(0, lambda _mask: globals()[sys.stdin.readline().strip()]())
while True:
    loop.turn({LIMIT_S} / 4)
"""


@contextmanager
def turning() -> Iterator[subprocess.Popen[str]]:
    """A process whose loop turns; it calls the function that a line of its input names."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        try:
            assert out(process).readline() == "turned\n"
            yield process
        finally:
            process.kill()


def out(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def do(process: subprocess.Popen[str], what: str) -> None:
    assert process.stdin is not None
    process.stdin.write(what + "\n")


def words(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.read()


def test_a_loop_that_stands_still_ends_the_process_and_says_where_it_stood() -> None:
    with turning() as process:
        do(process, "hang")
        assert process.wait(DEADLINE_S) == EXIT_STATUS
        said = words(process)
        assert "in hang" in said
        assert "stands still: ending this node" in said


def test_a_hang_that_holds_the_interpreters_lock_ends_it_too() -> None:
    with turning() as process:
        do(process, "hold_the_lock")
        assert process.wait(DEADLINE_S) == -signal.SIGPROF
        assert "in hold_the_lock" in words(process)


def test_a_loop_that_turns_goes_on_and_so_does_one_that_was_suspended() -> None:
    """As when a virtual machine is moved: the watchdog counts its own looks, not the time that passed."""
    with turning() as process:
        do(process, "work")
        assert out(process).readline() == "turned\n"
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.25 * LIMIT_S)
        os.kill(process.pid, signal.SIGCONT)
        do(process, "leave")
        assert process.wait(DEADLINE_S) == 0, words(process)


NODE = """
import sys, time
from types import SimpleNamespace
from gpu_worker import __main__ as node

def hang():
    print("began", flush=True)
    time.sleep(3600)

node.Agent = lambda *_, **__: SimpleNamespace(run=hang, turns=7)
node.limit_s = lambda _heartbeat_s: 1.0
sys.exit(node.main(["--cluster", "c", "--node", "n", "--slots", "1"]))
"""


def test_a_node_has_one(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", NODE],
        env=os.environ | {"HEADRACE_DATA": str(tmp_path), "HEADRACE_KAFKA": "127.0.0.1:1"},
        timeout=DEADLINE_S,
        capture_output=True,
    )
    assert (ended.stdout, ended.returncode) == (b"began\n", EXIT_STATUS), ended.stderr


def test_the_limit_is_three_heartbeats_and_never_hasty() -> None:
    assert limit_s(5.0) == 15.0
    assert limit_s(0.3) == 10.0
