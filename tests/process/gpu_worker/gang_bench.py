"""Two slots for the ranks of a gang, with a real process each, joined by gloo or by a stand-in of torch."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from contract.orders import Run
from gpu_worker.child.gang_room import GangRoom
from gpu_worker.child.slot import Slot
from gpu_worker.child.work import Work, rendezvous_here
from gpu_worker.io.supplies import Supplies
from gpu_worker.rules.outcome import ChildOutcome
from runtime.worker.confinement import Confinement
from runtime.worker.launch import ChildLaunch, child_environment
from runtime.worker.loop import Loop
from runtime.worker.scratch import Scratch
from runtime.worker.strays import Strays
from tests.unit.gpu_worker.programs import installed

DEADLINE_S = 20.0
TORCH_DEADLINE_S = 180.0
STAND_IN = Path(__file__).parents[2] / "torch_stand_in" / "torch"

MODEL = """
import os, time
import torch
import torch.distributed as distributed

class Model:
    def load(self, weights_dir, device, rank, world_size):
        self.rank, self.world = rank, world_size
        assert (distributed.get_rank(), distributed.get_world_size()) == (rank, world_size)
        if "slow" in weights_dir and rank == 1:
            time.sleep(1.0)

    def predict(self, inputs, ctx):
        with open(ctx.output("rank.txt"), "w") as file:
            file.write(str(self.rank))
        ctx.progress(0.5, f"rank {self.rank}")
        return getattr(self, inputs["do"])(ctx)

    def total(self):
        numbers = torch.tensor([self.rank + 1.0, 10.0])
        distributed.all_reduce(numbers)
        return numbers.tolist()

    def sum(self, ctx): return {"sum": self.total(), "pid": os.getpid()}
    def share(self, ctx):
        path = "/dev/shm/headrace-rank"
        if self.rank == 1:
            with open(path + ".new", "w") as file:
                file.write("rank 1")
            os.rename(path + ".new", path)
            return {}
        while not os.path.exists(path):
            time.sleep(0.005)
        return {"found": open(path).read()}
    def odd_values(self, ctx): return {} if self.rank == 0 else object()
    def wait(self, ctx):
        if self.rank == 1:
            time.sleep(3600)
        return {"sum": self.total()}
    def listen(self, ctx):
        while not ctx.cancelled():
            time.sleep(0.005)
        open(ctx.output("heard"), "w").close()
    def late_error(self, ctx):
        if self.rank == 1:
            time.sleep(0.5)
            raise ValueError("secret words")
        return {}
"""


class Ranks:
    """Two slots with a loop, and a record of what each told."""

    def __init__(
        self, directory: Path, python: str, deadline_s: float, *, confinement: Confinement | None = None
    ) -> None:
        self.python, self.deadline_s = python, deadline_s
        self.code = directory / "code"
        self.code.mkdir()
        (self.code / "model.py").write_text(MODEL)
        if python == sys.executable and importlib.util.find_spec("torch") is None:
            shutil.copytree(STAND_IN, self.code / "torch")
        self.loop = Loop()
        self.scratch = Scratch(directory / "scratch")
        environment = child_environment({"PATH": os.environ["PATH"]}, 1, [])
        self.slots = [
            Slot(ChildLaunch(n, environment, "cpu", 1), self.loop, self.scratch, Strays(), self, confinement)
            for n in range(2)
        ]
        self.rooms: list[GangRoom | None] = []
        self.has_rooms = confinement is not None
        if confinement is not None:
            self.scratch.give_slots_to(confinement.uid)
        self.told: list[tuple[str, int, Any]] = []

    def loaded(self, slot: int, version: str) -> None:
        if version:
            self.told.append(("loaded", slot, version))

    def progressed(self, run: Run, fraction: float, message: str) -> None:
        self.told.append(("progressed", 0, message))

    def done(self, slot: int, run: Run, outcome: ChildOutcome) -> None:
        self.told.append(("done", slot, outcome))

    def lost(self, slot: int, unbegun: str) -> None:
        raise AssertionError("no child of these tests lives on")

    def regained(self, slot: int) -> None:
        raise AssertionError("no slot of these tests was lost")

    def halted(self, slot: int, run: Run) -> None:
        self.told.append(("halted", slot, run.dispatch))

    def launch(self, do: str, *ranks: int, at: str = "", timeout_ms: int = 60_000, weights: str = "w") -> None:
        """Launch rank n in slot n; both ranks when none is named."""
        order = Run("n", "s", "p", 1, "j", 1, "1.1.0", "m", "v1", timeout_ms, 0, 0, "", ranks=(0, 1), world=2)
        program = installed(code=self.code, weights=self.code / weights, python=self.python)
        supplies = Supplies(msgspec.Raw(msgspec.json.encode({"do": do})), program)
        at = at or rendezvous_here()
        room = GangRoom((0, 1)) if self.has_rooms else None
        for rank in ranks or (0, 1):
            self.slots[rank].launch(Work(order, supplies, rank, at, room))
        self.rooms.append(room)

    def turn(self) -> None:
        for slot in self.slots:
            if slot.deadline_s is not None and slot.deadline_s <= time.monotonic():
                slot.on_deadline()
        self.loop.turn(0.05)

    def turn_for(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self.turn()

    def until(self, true: Callable[[], Any]) -> None:
        end_s = time.monotonic() + self.deadline_s
        while not true():
            assert time.monotonic() < end_s, f"not within {self.deadline_s} s; told {self.told}"
            self.turn()

    def outcome(self, rank: int) -> Any:
        self.until(lambda: self.outcomes(rank))
        return self.outcomes(rank)[0]

    def outcomes(self, rank: int) -> list[Any]:
        return [value for what, slot, value in self.told if what == "done" and slot == rank]

    def computing(self) -> None:
        """Wait until both ranks compute."""
        paths = [Path(self.scratch.writing(rank)) / "rank.txt" for rank in range(2)]
        self.until(lambda: all(path.exists() for path in paths))


def torch_python() -> str:
    """An interpreter that has torch: ours, or the one that TORCH_PYTHON names; empty when there is none."""
    return sys.executable if importlib.util.find_spec("torch") else os.environ.get("TORCH_PYTHON", "")


def closing(ranks: Ranks) -> Iterator[Ranks]:
    yield ranks
    for slot in ranks.slots:
        slot.close(DEADLINE_S)
    for room in ranks.rooms:
        if room is not None:
            room.close()
    ranks.loop.close()
    ranks.scratch.close()
