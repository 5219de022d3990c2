"""How difficult children end: a child that floods its pipes, one that does not die, one that another process holds."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from gpu_worker.child import slot
from gpu_worker.child.messages import ModelProgressed
from gpu_worker.child.slot_stages import LAST_PRINTS, LAST_RECEIVES, Stage
from runtime.worker import child_process
from tests.process.gpu_worker.slot_bench import DEADLINE_S, Bench, alive, closing, values
from tests.waiting import until

TRACED = """
import ctypes, os, time

class Model:
    def load(self, *_): pass
    def nothing(self, inputs, ctx): return {}

    def predict(self, inputs, ctx):
        if inputs["do"] == "nothing":
            return {}
        pid, told, libc = os.getpid(), ctx.output("tracer"), ctypes.CDLL(None)
        libc.prctl(0x59616d61, ctypes.c_ulong(-1))
        libc.ptrace.argtypes = [ctypes.c_long] * 4
        if os.fork() == 0:
            os.setsid()
            assert libc.ptrace(0x4206, pid, 0, 0) == 0
            with open(told + ".new", "w") as file:
                file.write(str(os.getpid()))
            os.rename(told + ".new", told)
            while True: time.sleep(3600)
        while True: time.sleep(3600)
"""

TRAPPED = """
import os, sys

class Model:
    def load(self, *_): pass

    def predict(self, inputs, ctx):
        if inputs["do"] == "nothing":
            return {}
        attempt = os.path.dirname(os.path.dirname(ctx.output("words")))
        os.mkfifo(attempt + "/log.txt")
        os.symlink("/dev/zero", attempt + "/log.1.txt")
        sys.stdout.buffer.write(b"words \\xff\\n")
        sys.stdout.flush()
        os._exit(3)
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from closing(Bench(tmp_path))


def test_nothing_that_a_model_prints_is_written_where_it_could_lay_a_trap(bench: Bench) -> None:
    """An agent once waited for a pipe of the log's name, and read a link to zeros without an end (security review,
    3)."""
    (bench.directory / "code" / "model.py").write_text(TRAPPED)
    outcome = bench.outcome("lay traps")
    assert (outcome.kind, outcome.error, outcome.detail) == ("child_died", "Exit3", "words \ufffd\n")
    assert values(bench.outcome("nothing")) == {}


def undying() -> float:
    return sample("headrace_node_children_undying")


def lost_slots() -> float:
    return sample("headrace_node_slots_lost")


def sample(metric: str) -> float:
    value = REGISTRY.get_sample_value(metric)
    assert value is not None
    return value


def test_what_goes_on_writing_after_the_child_ended_is_not_listened_to_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that the child forked into a session of its own does so."""
    bench.launch("listen")
    bench.next("loaded")
    rounds = {"receive": 0, "printed": 0}

    def receive(_child: Any) -> list[Any]:
        rounds["receive"] += 1
        return [ModelProgressed("1.1.0", 0.5, "words")]

    def printed(_child: Any) -> bytes:
        rounds["printed"] += 1
        return b"words"

    monkeypatch.setattr(child_process.ChildProcess, "receive", receive)
    monkeypatch.setattr(child_process.ChildProcess, "printed", printed)
    process = bench.slot._process
    assert process is not None
    bench.slot.on_frames(process)
    bench.slot.on_print(process)
    assert rounds == {"receive": 1, "printed": 1}, "a callback takes a piece and comes again"
    pid = bench.slot.pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), "it ended")
    bench.slot.on_end(process)
    assert rounds["receive"] <= 1 + LAST_RECEIVES
    assert rounds["printed"] <= 1 + 2 * LAST_PRINTS
    outcome = bench.next("done", since=0)
    assert (outcome.kind, outcome.error) == ("child_died", "Signal9")


def lost_child(bench: Bench, patched: pytest.MonkeyPatch) -> None:
    """Until the block ends, no signal ends the bench's child, which does not listen: as if a device held it."""
    patched.setattr(child_process, "UNDYING_S", 0.1)
    for limit in ("KILLING_S", "ASKED_S", "TERMINATING_S"):
        patched.setattr(slot, limit, 0.02)
    patched.setattr(child_process.ChildProcess, "_signal_group", lambda *_: None)
    os.kill(bench.slot.pid, signal.SIGSTOP)


def test_a_child_that_does_not_die_costs_its_slot_until_it_does(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that waits for a device does not die. Nothing comes of its attempt any more, so that ends."""
    bench.launch("listen")
    bench.next("loaded")
    before, pid = undying(), bench.slot.pid
    with monkeypatch.context() as patched, capture_logs() as logs:
        lost_child(bench, patched)
        bench.slot.halt()
        assert bench.next("halted") == "1.1.0"
        assert [what for what, _ in bench.told][-2:] == ["lost", "halted"], "else the next attempt would go there"
        for _ in range(5):
            bench.loop.turn(0.02)
            bench.slot.on_deadline()
        assert [(line["log_level"], line["pid"]) for line in logs] == [("error", pid)]
        assert "expected its process to end once it was killed" in logs[0]["event"]
        assert bench.slot._stage is Stage.LOST
        assert (undying(), lost_slots()) == (before + 1, 1)
    bench.next("regained", since=0)
    assert (undying(), lost_slots()) == (before, 0)
    assert values(bench.outcome("nothing")) == {}


def test_an_attempt_that_waits_for_a_child_that_does_not_die_can_go_elsewhere(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.outcome("nothing")
    with monkeypatch.context() as patched:
        lost_child(bench, patched)
        bench.launch("nothing", version="v2")
        assert bench.next("lost") == "1.2.0"
        bench.slot.halt()
        assert bench.told[-1] == ("halted", "1.2.0")
    bench.next("regained", since=0)
    assert bench.slot.pid == 0


def test_a_slot_waits_only_so_long_for_what_a_child_left(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot, "SWEEPING_S", 0.05)
    monkeypatch.setattr(bench.strays, "clear", lambda: 1)
    bench.outcome("memory")
    assert values(bench.outcome("nothing")) == {}


def test_an_attempt_whose_child_does_not_die_fails(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.launch("hang_up")
    bench.next("loaded")
    with monkeypatch.context() as patched:
        lost_child(bench, patched)
        os.kill(bench.slot.pid, signal.SIGCONT)
        outcome = bench.next("done")
        assert (outcome.kind, outcome.error) == ("child_died", "Signal9")
    bench.next("regained", since=0)


def test_a_node_that_ends_waits_only_so_long_for_its_child(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.launch("listen")
    bench.next("loaded")
    process = bench.slot._process
    assert process is not None
    with monkeypatch.context() as patched:
        patched.setattr(child_process.ChildProcess, "_signal_group", lambda *_: None)
        bench.slot.kill()
        assert not bench.slot.close(0.1)
    process.kill()
    assert process.ended(DEADLINE_S) == -signal.SIGKILL


def test_a_child_whose_end_another_process_holds_does_not_hold_the_agent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child's end is announced, but its tracer has its status: an agent that waited for it would wait for the
    tracer."""
    monkeypatch.setattr(slot, "KILLING_S", 0.05)
    (bench.directory / "code" / "model.py").write_text(TRACED)
    bench.launch("be traced")
    told = Path(bench.scratch.writing(0)) / "tracer"
    bench.until(told.exists)
    tracer, pid = int(told.read_text()), bench.slot.pid
    os.kill(pid, signal.SIGKILL)
    bench.until(lambda: bench.slot._stage is Stage.KILLING and not alive(pid))
    for _ in range(3):
        bench.slot.on_deadline()
    assert not [what for what, _ in bench.told if what == "done"]
    os.kill(tracer, signal.SIGKILL)
    outcome = bench.next("done")
    assert (outcome.kind, outcome.error) == ("child_died", "Signal9")
    assert values(bench.outcome("nothing")) == {}
