"""A slot with a real child of this interpreter, whose model does what a test asks for in a few lines."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from contract.orders import Run
from gpu_worker.child.slot import Slot
from gpu_worker.child.work import Work
from gpu_worker.io.supplies import Supplies
from gpu_worker.rules.outcome import ChildOutcome, Computed
from runtime.worker.confinement import Confinement
from runtime.worker.launch import ChildLaunch, child_environment
from runtime.worker.loop import Loop
from runtime.worker.scratch import Scratch
from runtime.worker.strays import Strays
from tests.unit.gpu_worker.programs import installed

DEADLINE_S = 20.0

MODEL = r"""
import json, os, signal, subprocess, sys, tempfile, threading, time

class InvalidInputs(Exception): pass
class OutOfMemoryError(RuntimeError): pass
class AcceleratorError(RuntimeError): error_code = 710

class Model:
    def load(self, weights_dir, device, rank, world_size):
        self.args = [weights_dir, device, rank, world_size]
        self.runs = 0
        self.kept = tempfile.NamedTemporaryFile("w", delete=False).name
        with open(self.kept, "w") as file: file.write("kept")
        if "unloadable" in weights_dir:
            raise ValueError("secret words")
        if "endless" in weights_dir:
            while True: time.sleep(3600)

    def predict(self, inputs, ctx):
        self.runs += 1
        return getattr(self, inputs["do"])(inputs, ctx)

    def look(self, inputs, ctx):
        return {"args": self.args, "pid": os.getpid(), "runs": self.runs, "threads": os.environ["OMP_NUM_THREADS"]}
    def keep(self, inputs, ctx):
        self.__dict__.setdefault("seen", []).append(ctx._dispatch)
        return {"kept": self.seen}
    def nothing(self, inputs, ctx): return None
    def text(self, inputs, ctx): return "text"
    def nan(self, inputs, ctx): return {"x": float("nan")}
    def object(self, inputs, ctx): return {"x": object()}
    def huge(self, inputs, ctx): return {"x": "x" * 5_000_000}
    def invalid(self, inputs, ctx): raise InvalidInputs()
    def memory(self, inputs, ctx): raise MemoryError()
    def cuda_memory(self, inputs, ctx): raise OutOfMemoryError()
    def device(self, inputs, ctx): raise AcceleratorError("words")
    def disk(self, inputs, ctx): raise OSError(28, "No space left on device")
    def quit(self, inputs, ctx): sys.exit(1)
    def named(self, inputs, ctx): raise type("my_secret_merger", (Exception,), {})()
    def escape(self, inputs, ctx): ctx.output("../words")
    def write(self, inputs, ctx):
        open(ctx.output("a.txt"), "w").write("a")
        tempfile.NamedTemporaryFile(delete=False).write(b"words")
        return {}
    def temporary(self, inputs, ctx):
        left = os.listdir(tempfile.gettempdir())
        os.makedirs(os.path.expanduser("~/.cache"), exist_ok=True)
        for folder in (None, os.path.expanduser("~/.cache")):
            with tempfile.NamedTemporaryFile(delete=False, dir=folder) as file: file.write(b"words")
        tool = subprocess.run(["mktemp"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        return {"kept": open(self.kept).read() == "kept", "left": left, "tool": tool}
    def later(self, inputs, ctx):
        here, told = tempfile.gettempdir(), os.path.expanduser("~/later")
        def look():
            while tempfile.gettempdir() == here or os.environ["TMPDIR"] == here: time.sleep(0.005)
            with open(told + ".new", "w") as file: file.write(os.environ["TMPDIR"])
            os.rename(told + ".new", told)
        threading.Thread(target=look, daemon=True).start()
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
    def obey(self, inputs, ctx):
        while not ctx.cancelled(): time.sleep(0.005)
        raise RuntimeError("cancelled")
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
    def poison(self, inputs, ctx):
        signal.signal(signal.SIGTERM, lambda *_: os.write(ctx._pipe.fd, bytes([255, 255, 255, 255])))
        return {}
    def claim(self, inputs, ctx):
        failed = {"type": "failed", "dispatch": ctx._dispatch, "kind": "over", "error": "ValueError", "detail": ""}
        ctx._pipe.write(json.dumps(failed).encode())
        while True: time.sleep(3600)
    def part(self, inputs, ctx):
        write = ctx._pipe.write
        def last(body):
            write(body)
            os._exit(0)
        ctx._pipe.write = last
        return {"x": "x" * 60_000}
    def hang_up(self, inputs, ctx):
        os.close(ctx._pipe.fd)
        while True: time.sleep(3600)
"""


class Bench:
    """A slot with a loop, and a record of what it told."""

    def __init__(
        self,
        directory: Path,
        *,
        model: str = MODEL,
        confinement: Confinement | None = None,
        memory_mib: int = 0,
        device: str = "cpu",
    ) -> None:
        (directory / "code").mkdir()
        (directory / "code" / "model.py").write_text(model)
        self.directory = directory
        self.loop = Loop()
        self.scratch = Scratch(directory / "scratch")
        launch = ChildLaunch(
            0,
            child_environment({"PATH": os.environ["PATH"], "HEADRACE_S3_SECRET_KEY": "x"}, 3, []),
            device,
            3,
            memory_mib,
        )
        if confinement is not None:
            self.scratch.give_slots_to(confinement.uid)
        self.strays = Strays()
        self.slot = Slot(launch, self.loop, self.scratch, self.strays, self, confinement)
        self.told: list[tuple[str, Any]] = []
        self.number = 0

    def loaded(self, slot: int, version: str) -> None:
        self.told.append(("loaded", version))

    def progressed(self, run: Run, fraction: float, message: str) -> None:
        self.told.append(("progressed", (fraction, message)))

    def done(self, slot: int, run: Run, outcome: ChildOutcome) -> None:
        self.told.append(("done", outcome))

    def halted(self, slot: int, run: Run) -> None:
        self.told.append(("halted", run.dispatch))

    def lost(self, slot: int, unbegun: str) -> None:
        self.told.append(("lost", unbegun))

    def regained(self, slot: int) -> None:
        self.told.append(("regained", slot))

    def launch(
        self,
        do: str,
        *,
        job: str = "j",
        version: str = "v1",
        timeout_ms: int = 60_000,
        python: str = sys.executable,
        asks_network: bool = False,
        **more: Any,
    ) -> None:
        """`more`: fields of the order."""
        self.number += 1
        order = Run("n", "s", "p", 1, job, 1, f"1.{self.number}.0", "m", version, timeout_ms, 0, 0, "", **more)
        program = installed(
            version=version,
            code=self.directory / "code",
            weights=self.directory / version,
            python=python,
            asks_network=asks_network,
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


def closing(bench: Bench) -> Iterator[Bench]:
    """For a fixture: the bench, which is closed at the end."""
    yield bench
    assert bench.slot.close(DEADLINE_S)
    bench.loop.close()
    bench.scratch.close()


def values(outcome: ChildOutcome) -> Any:
    assert isinstance(outcome, Computed), outcome
    return msgspec.json.decode(outcome.values)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
