"""The model process and a slot around it: a real child of this interpreter, models of a few lines."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from contract import bounds
from contract.inputs import FAILURE_KINDS
from contract.orders import Run
from gpu_worker import child, frames, outputs, prints
from gpu_worker.child_process import CHILD
from gpu_worker.loop import Loop
from gpu_worker.node import Node
from gpu_worker.outcome import Computed, Failure, Outcome
from gpu_worker.scratch import Scratch
from gpu_worker.seat import Seat, child_environment, seats_of
from gpu_worker.slot import CHILD_KINDS, Slot, Work
from gpu_worker.supplies import Supplies
from tests.waiting import until

DEADLINE_S = 20.0

MODEL = r"""
import os, subprocess, sys, tempfile, threading, time

class InvalidInputs(Exception): pass
class OutOfMemoryError(RuntimeError): pass

class Model:
    def load(self, weights_dir, device, rank, world_size):
        self.args = [weights_dir, device, rank, world_size]
        self.runs = 0
        if "unloadable" in weights_dir:
            raise ValueError("secret words")
        if "endless" in weights_dir:
            while True: time.sleep(3600)

    def predict(self, inputs, ctx):
        self.runs += 1
        return getattr(self, inputs["do"])(inputs, ctx)

    def look(self, inputs, ctx):
        return {"args": self.args, "pid": os.getpid(), "runs": self.runs, "threads": os.environ["OMP_NUM_THREADS"]}
    def nothing(self, inputs, ctx): return None
    def text(self, inputs, ctx): return "text"
    def nan(self, inputs, ctx): return {"x": float("nan")}
    def object(self, inputs, ctx): return {"x": object()}
    def huge(self, inputs, ctx): return {"x": "x" * 5_000_000}
    def invalid(self, inputs, ctx): raise InvalidInputs()
    def memory(self, inputs, ctx): raise MemoryError()
    def cuda_memory(self, inputs, ctx): raise OutOfMemoryError()
    def disk(self, inputs, ctx): raise OSError(28, "No space left on device")
    def quit(self, inputs, ctx): sys.exit(1)
    def named(self, inputs, ctx): raise type("my_secret_merger", (Exception,), {})()
    def escape(self, inputs, ctx): ctx.output("../words")
    def write(self, inputs, ctx):
        open(ctx.output("a.txt"), "w").write("a")
        tempfile.NamedTemporaryFile(delete=False).write(b"words")
        return {}
    def tell(self, inputs, ctx):
        for n in range(100):
            ctx.progress(n / 100, "m" * 300)
        return {}
    def mumble(self, inputs, ctx):
        class Silent:
            def __str__(self): raise RuntimeError("no words")
        for fraction, message in [
            ("half", "half \ud83d"), (float("inf"), "more"), (1e300, Silent()),
            (float("nan"), "nan"), (-9, "less"), (9**999, "\0"), (None, ""),
        ]:
            ctx._progressed_s = 0.0
            ctx.progress(fraction, message)
        return {}
    def mutter(self, inputs, ctx):
        print("half \ud83d caf\udce9", flush=True)
        print("half \ud83d caf\udce9", file=sys.stderr, flush=True)
        return {}
    def listen(self, inputs, ctx):
        while not ctx.cancelled(): time.sleep(0.005)
        return {}
    def chatter(self, inputs, ctx):
        for _ in range(200): print("words " * 2000)
        sys.stdout.flush()
        os._exit(7)
    def grandchild(self, inputs, ctx):
        with open(ctx.output("pid"), "w") as file:
            print(subprocess.Popen(["sleep", "1000"]).pid, file=file)
        while True: time.sleep(3600)
    def garbage(self, inputs, ctx):
        os.write(ctx._pipe.fd, bytes([255, 255, 255, 255]))
        while True: time.sleep(3600)
    def hang_up(self, inputs, ctx):
        os.close(ctx._pipe.fd)
        while True: time.sleep(3600)
"""


class Bench:
    """A slot with a loop, and a record of what it told."""

    def __init__(self, directory: Path) -> None:
        (directory / "code").mkdir()
        (directory / "code" / "model.py").write_text(MODEL)
        self.directory = directory
        self.loop = Loop()
        self.scratch = Scratch(directory / "scratch")
        seat = Seat(0, child_environment({"PATH": os.environ["PATH"], "HEADRACE_S3_SECRET_KEY": "x"}, 3, []), "cpu", 3)
        self.slot = Slot(seat, self.loop, self.scratch, self)
        self.told: list[tuple[str, Any]] = []
        self.number = 0

    def loaded(self, slot: int, version: str) -> None:
        self.told.append(("loaded", version))

    def progressed(self, run: Run, fraction: float, message: str) -> None:
        self.told.append(("progressed", (fraction, message)))

    def done(self, slot: int, run: Run, outcome: Outcome) -> None:
        self.told.append(("done", outcome))

    def halted(self, slot: int, run: Run) -> None:
        self.told.append(("halted", run.dispatch))

    def launch(self, do: str, *, version: str = "v1", timeout_ms: int = 60_000, python: str = sys.executable) -> None:
        self.number += 1
        order = Run("n", "s", "p", 1, "j", 1, f"1.{self.number}.0", "m", version, timeout_ms, 0, 0, "")
        program: Any = SimpleNamespace(
            version=version,
            manifest=SimpleNamespace(entry_point="model:Model"),
            code=self.directory / "code",
            weights=self.directory / version,
            python=Path(python),
        )
        self.slot.launch(Work(order, Supplies(msgspec.Raw(msgspec.json.encode({"do": do})), program)))

    def until(self, true: Callable[[], Any]) -> None:
        end_s = time.monotonic() + DEADLINE_S
        while not true():
            now_s = time.monotonic()
            assert now_s < end_s, f"not within {DEADLINE_S} s; told {self.told}"
            if self.slot.deadline_s is not None and self.slot.deadline_s <= now_s:
                self.slot.on_deadline()
            self.loop.turn(0.05)

    def outcome(self, do: str, **how: Any) -> Any:
        """What became of an attempt."""
        before = len(self.told)
        self.launch(do, **how)
        return self.next("done", since=before)

    def next(self, kind: str, since: int | None = None) -> Any:
        """The next thing told of this kind, after the first `since` things."""
        before = len([what for what, _ in self.told[:since] if what == kind])
        self.until(lambda: len([what for what, _ in self.told if what == kind]) > before)
        return [value for what, value in self.told if what == kind][before]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    assert bench.slot.close(DEADLINE_S)
    bench.loop.close()
    bench.scratch.close()


def values(outcome: Outcome) -> Any:
    assert isinstance(outcome, Computed), outcome
    return msgspec.json.decode(outcome.values)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_warm_child_serves_job_after_job(bench: Bench) -> None:
    first, second = values(bench.outcome("look")), values(bench.outcome("look"))
    assert first["args"] == [str(bench.directory / "v1"), "cpu", 0, 1]
    assert (first["runs"], second["runs"]) == (1, 2)
    assert first["pid"] == second["pid"] == bench.slot.pid
    assert first["threads"] == "3"


def test_another_version_gets_another_process(bench: Bench) -> None:
    first, second = values(bench.outcome("look")), values(bench.outcome("look", version="v2"))
    assert first["pid"] != second["pid"]
    assert not alive(first["pid"])
    assert [value for what, value in bench.told if what == "loaded"] == ["v1", "", "v2"]


@pytest.mark.parametrize(
    ("do", "kind", "error"),
    [
        ("text", "bad_values", "BadValues"),
        ("nan", "bad_values", "BadValues"),
        ("object", "bad_values", "BadValues"),
        ("huge", "bad_values", "BadValues"),
        ("named", "model_error", "OtherError"),
        ("invalid", "bad_inputs", "InvalidInputs"),
        ("memory", "out_of_memory", "MemoryError"),
        ("cuda_memory", "out_of_memory", "OutOfMemoryError"),
        ("disk", "store", "ScratchFull"),
        ("quit", "model_error", "SystemExit"),
        ("escape", "model_error", "ValueError"),
        ("absent", "model_error", "AttributeError"),
        ("garbage", "bad_outputs", "BadFrame"),
    ],
)
def test_each_failure_has_its_kind(bench: Bench, do: str, kind: str, error: str) -> None:
    outcome = bench.outcome(do)
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.error) == (kind, error)
    assert values(bench.outcome("nothing")) == {}


def test_a_child_that_hangs_up_is_ended(bench: Bench) -> None:
    outcome = bench.outcome("hang_up")
    assert (outcome.kind, outcome.error) == ("child_died", "Signal15")


def test_memory_that_ran_out_costs_the_child(bench: Bench) -> None:
    pid = values(bench.outcome("look"))["pid"]
    bench.outcome("memory")
    assert values(bench.outcome("look"))["pid"] != pid


def test_a_version_that_does_not_load_says_why_and_the_slot_lives_on(bench: Bench) -> None:
    outcome = bench.outcome("look", version="unloadable")
    assert (outcome.kind, outcome.error) == ("model_error", "ValueError")
    assert "secret words" in outcome.detail
    assert values(bench.outcome("nothing", version="v1")) == {}


def test_an_interpreter_that_is_not_there_is_an_environment_failure(bench: Bench) -> None:
    outcome = bench.outcome("look", python="/nowhere/python")
    assert (outcome.kind, outcome.error) == ("environment", "FileNotFoundError")


def test_a_time_limit_ends_a_deaf_attempt_and_its_grandchildren(bench: Bench) -> None:
    bench.launch("grandchild", timeout_ms=500)
    pid_file = Path(bench.scratch.outputs("1.1.0")) / "pid"
    bench.until(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"))
    grandchild = int(pid_file.read_text())
    outcome = bench.next("done")
    assert (outcome.kind, outcome.error) == ("time_out", "TimeOut")
    bench.until(lambda: not alive(grandchild))


def test_a_halt_while_loading_is_certain(bench: Bench) -> None:
    bench.launch("look", version="endless")
    pid = bench.slot.pid
    bench.slot.halt()
    assert bench.next("halted") == "1.1.0"
    assert not alive(pid)


def test_a_halt_before_the_old_version_has_ended_never_runs(bench: Bench) -> None:
    bench.outcome("look")
    bench.launch("look", version="v2")
    bench.slot.halt()
    assert bench.told[-1] == ("halted", "1.2.0")
    assert values(bench.outcome("look", version="v2"))["runs"] == 1


def test_a_model_that_listens_stays_loaded_when_halted(bench: Bench) -> None:
    pid = values(bench.outcome("look"))["pid"]
    bench.launch("listen")
    bench.slot.halt()
    assert bench.next("halted") == "1.2.0"
    assert values(bench.outcome("look"))["pid"] == pid


def test_a_child_that_is_killed_is_noticed(bench: Bench) -> None:
    bench.launch("listen")
    bench.next("loaded")
    os.kill(bench.slot.pid, signal.SIGKILL)
    outcome = bench.next("done")
    assert (outcome.kind, outcome.error) == ("child_died", "Signal9")


def test_progress_that_is_none_fails_nothing(bench: Bench) -> None:
    assert values(bench.outcome("mumble")) == {}
    told = [value for what, value in bench.told if what == "progressed"]
    assert told == [
        (0.0, "half \ufffd"),
        (1.0, "more"),
        (1.0, ""),
        (1.0, "nan"),
        (0.0, "less"),
        (0.0, "\ufffd"),
        (0.0, ""),
    ]


def test_what_cannot_be_written_is_no_failure_of_a_print(bench: Bench) -> None:
    assert values(bench.outcome("mutter")) == {}


def test_progress_is_throttled_and_cut(bench: Bench) -> None:
    bench.outcome("tell")
    told = [value for what, value in bench.told if what == "progressed"]
    assert told == [(0.0, "m" * 200)]


def test_what_a_dying_child_printed_last_is_kept_and_bounded(bench: Bench) -> None:
    outcome = bench.outcome("chatter")
    assert (outcome.kind, outcome.error) == ("child_died", "Exit7")
    assert outcome.detail.endswith("words \n")
    assert len(outcome.detail) == prints.KEPT_BYTES
    assert not Path(bench.scratch.attempt("1.1.0")).exists(), "it is kept where no model can reach it"


def test_an_attempts_files_go_when_it_ends(bench: Bench) -> None:
    outcome = bench.outcome("write")
    assert outcome.outputs == ("a.txt",)
    bench.scratch.clean_temporary(0)
    bench.scratch.clean("1.1.0")
    assert list(Path(bench.scratch.temporary(0)).iterdir()) == []
    assert not Path(bench.scratch.attempt("1.1.0")).exists()
    until(lambda: not any((bench.directory / "scratch" / "gone").iterdir()), "it is deleted")


def test_the_agent_never_waits_for_a_child_that_does_not_read(bench: Bench) -> None:
    bench.launch("look", version="endless")
    bench.slot._send(frames.Compute("1.9.0", msgspec.Raw(b'"' + b"x" * 3_000_000 + b'"'), ""))
    bench.slot.halt()
    assert bench.next("halted") == "1.1.0"


def test_a_child_ends_with_its_agent() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        orphan = subprocess.Popen(
            [sys.executable, "-I", str(CHILD), str(theirs.fileno()), "1"], pass_fds=(theirs.fileno(),)
        )
        assert orphan.wait(DEADLINE_S) == 0
        theirs.close()


def test_both_ends_of_the_pipe_agree() -> None:
    assert child.FRAME_BYTES_MAX == frames.FRAME_BYTES_MAX
    assert child.OUTPUT_NAME.pattern == outputs.OUTPUT_NAME.pattern
    assert child.RESERVED_NAMES == outputs.RESERVED_NAMES
    assert child.OUTPUTS_MAX == outputs.OUTPUTS_MAX
    assert (child.VALUE_LEAST, child.VALUE_MOST) == (bounds.VALUE_LEAST, bounds.VALUE_MOST)
    assert child.DEPTH_MAX == bounds.DEPTH_MAX
    assert set(CHILD_KINDS) < set(FAILURE_KINDS)


def test_a_frame_is_cut_out_of_whatever_pieces_come() -> None:
    body = b'{"type":"loaded"}'
    data = (len(body).to_bytes(4, "big") + body) * 2
    unframer = frames.Unframer()
    found = [frame for start in range(0, len(data), 5) for frame in unframer.feed(data[start : start + 5])]
    assert found == [frames.Loaded(), frames.Loaded()]


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
    unframer = frames.Unframer()
    first, bad = unframer.feed(loaded + data + loaded)
    assert first == frames.Loaded()
    assert isinstance(bad, frames.BadFrame)
    assert bad.reason.startswith("expected a ")
    assert unframer.feed(loaded) == [bad]


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
    assert child.fault_of(returned) == sentence


def test_a_list_that_stands_in_many_places_takes_no_longer_than_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "FRAME_BYTES_MAX", 10_000)
    shared: list[Any] = []
    for _ in range(60):
        shared = [shared, shared]
    assert child.fault_of({"x": shared}) == "values: expected at most 10000 bytes, found more; write a file instead"


def test_values_that_go_round_in_a_circle_are_refused_where_they_are_too_deep() -> None:
    circle: dict[str, Any] = {}
    circle["x"] = circle
    assert child.fault_of(circle).endswith("/x: expected lists and objects at most 64 deep, found more")


def test_a_child_gets_none_of_the_agents_environment_but_what_it_needs() -> None:
    inherited = {"PATH": "/bin", "HEADRACE_KAFKA": "k", "DATABASE_URL": "d", "AWS_SECRET_ACCESS_KEY": "a"}
    kept = {"CUDA_VISIBLE_DEVICES": "4,5,6,7", "NCCL_SOCKET_IFNAME": "eth1", "GLOO_SOCKET_IFNAME": "eth2"}
    environment = child_environment(inherited | kept, 2, [2, 3])
    assert (environment["NCCL_SOCKET_IFNAME"], environment["GLOO_SOCKET_IFNAME"]) == ("eth1", "eth2")
    assert environment["CUDA_VISIBLE_DEVICES"] == "6,7"
    assert environment["HIP_VISIBLE_DEVICES"] == "2,3"
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "2"
    assert not set(environment) & {"HEADRACE_KAFKA", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY"}


def test_slots_share_cores_and_gpus_out() -> None:
    node = Node("main", "n", 4, "rocm", 2, 0, 0, 10, 5.0)
    seats = seats_of(node, {"PATH": "/bin"})
    assert [seat.environment["HIP_VISIBLE_DEVICES"] for seat in seats] == ["0,1", "2,3", "4,5", "6,7"]
    assert {(seat.threads, seat.device, seat.environment["OMP_NUM_THREADS"]) for seat in seats} == {(2, "cuda", "2")}
