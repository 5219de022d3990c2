"""Ranks of a gang: two slots with a real process each, joined by gloo, or by a stand-in where torch is absent."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from gpu_worker.child import work as work_module
from gpu_worker.child.work import rendezvous_here
from gpu_worker.rules.outcome import ChildOutcome, Computed, Failure
from tests.process.gpu_worker.gang_bench import DEADLINE_S, TORCH_DEADLINE_S, Ranks, closing, torch_python


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
