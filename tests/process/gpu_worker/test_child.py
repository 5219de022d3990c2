"""The model process by itself: its end with the agent, its end of the pipe, the values that it passes on."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from contract import bounds, names, results
from contract.inputs import FAILURE_KINDS
from gpu_worker.child import run_model
from gpu_worker.child.messages import ModelLoaded, frame_decoder
from gpu_worker.child.model_process import CHILD
from gpu_worker.child.slot import CHILD_KINDS
from gpu_worker.io import outputs
from gpu_worker.rules import outcome
from runtime.worker import child_process, frames, report_sender
from tests.process.gpu_worker.slot_bench import DEADLINE_S, alive


def test_a_child_ends_with_its_agent() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        orphan = subprocess.Popen(
            [sys.executable, "-I", str(CHILD), str(theirs.fileno()), "1"], pass_fds=(theirs.fileno(),)
        )
        assert orphan.wait(DEADLINE_S) == 0
        theirs.close()


AGENT = """
import json, os, socket, subprocess, sys, time
ours, theirs = socket.socketpair()
child = [sys.executable, "-I", sys.argv[1], str(theirs.fileno()), str(os.getpid())]
pid = subprocess.Popen(child, pass_fds=(theirs.fileno(),)).pid
load = {"type": "load", "code": sys.argv[2], "entry_point": "busy:Model", "threads": 1, "world_size": 1}
body = json.dumps({**load, "weights": "", "device": "cpu", "rank": 0}).encode()
ours.sendall(len(body).to_bytes(4, "big") + body)
print(pid, flush=True)
time.sleep(3600)
"""
BUSY = """
import time

class Model:
    def load(self, *_):
        print("busy", flush=True)
        while True: time.sleep(3600)
"""


def test_a_child_that_looks_at_nothing_ends_with_its_agent(tmp_path: Path) -> None:
    """It computes and does not see that the pipe is closed; a device would be held for ever."""
    (tmp_path / "busy.py").write_text(BUSY)
    command = [sys.executable, "-c", AGENT, str(CHILD), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        child = psutil.Process(int(agent.stdout.readline()))
        assert agent.stdout.readline() == "busy\n"
        agent.kill()
        psutil.wait_procs([child], DEADLINE_S)
        assert not alive(child.pid)


def test_both_ends_of_the_pipe_agree() -> None:
    assert run_model.FRAME_BYTES_MAX == frames.FRAME_BYTES_MAX
    assert run_model.OUTPUT_NAME.pattern == names.OUTPUT.pattern
    assert run_model.RESERVED_NAMES == results.RESERVED_NAMES
    assert run_model.OUTPUTS_MAX == outputs.OUTPUTS_MAX
    assert (run_model.VALUE_LEAST, run_model.VALUE_MOST) == (bounds.VALUE_LEAST, bounds.VALUE_MOST)
    assert run_model.DEPTH_MAX == bounds.DEPTH_MAX
    assert run_model.PROGRESS_EVERY_S == report_sender.PROGRESS_EVERY_S
    assert run_model.MESSAGE_CHARACTERS_MAX == report_sender.MESSAGE_CHARACTERS_MAX
    assert run_model.DETAIL_BYTES_MAX <= outcome.DETAIL_CHARACTERS_MAX / 2
    assert set(CHILD_KINDS) < set(FAILURE_KINDS)


def test_a_frame_is_cut_out_of_whatever_pieces_come() -> None:
    body = b'{"type":"loaded"}'
    data = (len(body).to_bytes(4, "big") + body) * 2
    decoder = frame_decoder()
    found = [frame for start in range(0, len(data), 5) for frame in decoder.feed(data[start : start + 5])]
    assert found == [ModelLoaded(), ModelLoaded()]


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


PROGRESS = b'{"type":"progress","dispatch":"d","fraction":%s,"message":"%s"}'


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        framed(b"{}"),
        framed(b"x"),
        framed(PROGRESS % (b"0.5", b"\xff")),
        framed(PROGRESS % (b"0.5", b"\\ud83d")),
        framed(PROGRESS % (b"1e999", b"")),
        framed(PROGRESS % (b"9" * 5000, b"")),
        framed(b'{"x":' + b"[" * 100_000),
    ],
)
def test_what_is_no_frame_ends_the_list_and_all_after_it(data: bytes) -> None:
    loaded = framed(b'{"type":"loaded"}')
    decoder = frame_decoder()
    first, bad = decoder.feed(loaded + data + loaded)
    assert first == ModelLoaded()
    assert isinstance(bad, frames.BadFrame)
    assert bad.reason.startswith("expected a ")
    assert decoder.feed(loaded) == [bad]


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        ({"title": "half \ud83d"}, "values/title: expected whole characters, found half a surrogate pair"),
        ({"a": [0, {"b": "\0"}]}, "values/a/1/b: expected text without the character NUL, found one"),
        ({"half \ud83d": 1}, "values/a name: expected whole characters, found half a surrogate pair"),
        ({"half \ud83d": {"b": "\0"}}, "values/a name: expected whole characters, found half a surrogate pair"),
        ({"x": float("nan")}, "values/x: expected a finite number, found none"),
        ({"x": (1, -float("inf"))}, "values/x/1: expected a finite number, found none"),
        ({"x": 2**64}, f"values/x: expected whole numbers from {-(2**63)} to {2**64 - 1}, found another"),
        ({1: {10**5000: "\0"}}, "values/1/a name: expected text without the character NUL, found one"),
        ({"x": {1}}, "values/x: expected a dict, list, text, number, bool or None, found set"),
    ],
)
def test_values_that_nobody_can_hold_are_refused_with_their_place(returned: Any, sentence: str) -> None:
    assert run_model.fault_of(returned) == sentence


def test_a_list_that_stands_in_many_places_takes_no_longer_than_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_model, "FRAME_BYTES_MAX", 10_000)
    shared: list[Any] = []
    for _ in range(60):
        shared = [shared, shared]
    assert run_model.fault_of({"x": shared}) == "values: expected at most 10000 bytes, found more; write a file instead"


def test_values_that_go_round_in_a_circle_are_refused_where_they_are_too_deep() -> None:
    circle: dict[str, Any] = {}
    circle["x"] = circle
    assert run_model.fault_of(circle).endswith("/x: expected lists and objects at most 64 deep, found more")


def test_a_child_that_there_is_no_descriptor_for_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(_pid: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", none_left)
    before = psutil.Process().num_fds(), psutil.Process().children()
    with pytest.raises(OSError, match="Too many"):
        child_process.ChildProcess(sys.executable, CHILD, {}, str(tmp_path), frame_decoder())
    assert (psutil.Process().num_fds(), psutil.Process().children()) == before
