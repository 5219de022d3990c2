"""Ranks of a gang: two slots with a real process each, joined by gloo, or by a stand-in where torch is absent."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.orders import Run
from gpu_worker.child import work as work_module
from gpu_worker.child.slot import Slot
from gpu_worker.child.work import Work, rendezvous_here
from gpu_worker.io.supplies import Supplies
from gpu_worker.rules.outcome import ChildOutcome, Computed, Failure
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

    def __init__(self, directory: Path, python: str, deadline_s: float) -> None:
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
            Slot(ChildLaunch(n, environment, "cpu", 1), self.loop, self.scratch, Strays(), self) for n in range(2)
        ]
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
        for rank in ranks or (0, 1):
            self.slots[rank].launch(Work(order, supplies, rank, at))

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
    ranks.loop.close()
    ranks.scratch.close()


@pytest.fixture
def ranks(tmp_path: Path) -> Iterator[Ranks]:
    yield from closing(Ranks(tmp_path, sys.executable, DEADLINE_S))


@pytest.fixture(params=["stand-in", "torch"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ranks]:
    """Ranks with the real torch."""
    if request.param == "stand-in":
        yield from closing(Ranks(tmp_path, sys.executable, DEADLINE_S))
    elif torch_python():
        yield from closing(Ranks(tmp_path, torch_python(), TORCH_DEADLINE_S))
    else:
        pytest.skip("no interpreter here has torch; to hold this against it too: TORCH_PYTHON=/path/to/its/python")


def is_nothing(outcome: ChildOutcome) -> bool:
    return isinstance(outcome, Computed) and (bytes(outcome.values), outcome.outputs) == (b"{}", ())


def test_ranks_join_compute_together_and_end(both: Ranks) -> None:
    both.launch("sum")
    first, second = both.outcome(0), both.outcome(1)
    assert isinstance(first, Computed)
    assert msgspec.json.decode(first.values)["sum"] == [3.0, 20.0]
    assert first.outputs == ("rank.txt",)
    assert is_nothing(second)
    assert (Path(both.scratch.outputs("1.1.0")) / "rank.txt").read_text() == "0"
    assert [slot.pid for slot in both.slots] == [0, 0]
    assert [what for what, _, _ in both.told if what != "done"] == ["progressed"]


def test_the_next_attempt_gets_processes_of_its_own(ranks: Ranks) -> None:
    pids = set()
    for _ in range(2):
        ranks.launch("sum")
        pids.add(msgspec.json.decode(ranks.outcome(0).values)["pid"])
        ranks.outcome(1)
        ranks.told.clear()
    assert len(pids) == 2


def test_what_other_ranks_return_is_left_alone(ranks: Ranks) -> None:
    ranks.launch("odd_values")
    assert isinstance(ranks.outcome(0), Computed)
    assert is_nothing(ranks.outcome(1))


def test_a_rank_that_is_killed_is_the_news_and_not_its_echo(both: Ranks) -> None:
    both.launch("wait")
    both.computing()
    os.kill(both.slots[1].pid, signal.SIGKILL)
    outcome = both.outcome(1)
    assert (outcome.kind, outcome.error) == ("child_died", "Signal9")
    both.turn_for(0.5)
    assert both.outcomes(0) == []
    both.slots[0].halt()
    both.until(lambda: both.told[-1][0] == "halted")
    assert both.outcomes(0) == []


def test_a_rank_that_lost_another_fails_by_itself_in_the_end(both: Ranks) -> None:
    both.launch("wait")
    both.computing()
    os.kill(both.slots[1].pid, signal.SIGKILL)
    outcome = both.outcome(0)
    assert (outcome.kind, outcome.error) == ("model_error", "RuntimeError")
    assert "by peer" in outcome.detail, "gloo says that it closed the connection, or reset it"


def test_rank_0_has_not_succeeded_before_the_others_have(ranks: Ranks) -> None:
    ranks.launch("late_error")
    outcome = ranks.outcome(1)
    assert (outcome.kind, outcome.error) == ("model_error", "ValueError")
    assert not any(isinstance(value, Computed) for value in ranks.outcomes(0))


def test_time_counts_from_when_all_have_loaded(ranks: Ranks) -> None:
    ranks.launch("sum", timeout_ms=800, weights="slow")
    assert isinstance(ranks.outcome(0), Computed)


def test_a_time_limit_ends_a_rank_without_asking(ranks: Ranks) -> None:
    ranks.launch("wait", timeout_ms=300)
    outcome = ranks.outcome(1)
    assert (outcome.kind, outcome.error) == ("time_out", "TimeOut")


def test_a_rank_is_not_asked_to_stop_but_ended(ranks: Ranks) -> None:
    ranks.launch("listen")
    ranks.computing()
    for slot in ranks.slots:
        slot.halt()
    ranks.until(lambda: [what for what, _, _ in ranks.told if what == "halted"] == ["halted"] * 2)
    assert not any((Path(ranks.scratch.writing(rank)) / "heard").exists() for rank in (0, 1))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_waits_in_vain_says_for_whom(both: Ranks, rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_module, "JOIN_S", 1.0)
    at = rendezvous_here()
    both.launch("sum", rank, at=at)
    outcome = both.outcome(rank)
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.error) == ("time_out", "GangTimeOut")
    assert "expected 2 ranks to have " in outcome.detail
    assert f"at {at} within 1 s" in outcome.detail


def test_a_port_that_is_taken_is_no_fault_of_the_model(both: Ranks) -> None:
    with socket.create_server(("", 0)) as taken:
        both.launch("sum", 0, at=f"127.0.0.1:{taken.getsockname()[1]}")
        assert both.outcome(0).kind == "environment"


def test_an_environment_without_torch_is_told(ranks: Ranks) -> None:
    shutil.rmtree(ranks.code / "torch", ignore_errors=True)
    (ranks.code / "model.py").write_text("class Model: pass\n")
    (ranks.code / "torch.py").write_text("raise ModuleNotFoundError\n")
    ranks.launch("sum", 0)
    outcome = ranks.outcome(0)
    assert (outcome.kind, outcome.error) == ("environment", "ModuleNotFoundError")
