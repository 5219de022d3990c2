"""A child that would fail the next attempt too is replaced; any other child serves job after job."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.gpu_worker.slot_bench import Bench, closing, values


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from closing(Bench(tmp_path))


def pid_of(bench: Bench) -> int:
    return int(values(bench.outcome("look"))["pid"])


def test_different_jobs_that_fail_in_a_row_cost_the_child(bench: Bench) -> None:
    pid = pid_of(bench)
    bench.outcome("absent", job="a")
    assert bench.slot.pid == pid
    bench.outcome("nan", job="b")
    assert pid_of(bench) != pid


def test_a_job_that_fails_again_costs_nothing(bench: Bench) -> None:
    pid = pid_of(bench)
    for _ in range(3):
        bench.outcome("absent", job="a")
    assert pid_of(bench) == pid


def test_a_job_that_succeeds_in_between_clears_the_child(bench: Bench) -> None:
    pid = pid_of(bench)
    bench.outcome("absent", job="a")
    bench.outcome("nothing", job="b")
    bench.outcome("absent", job="c")
    assert pid_of(bench) == pid


def test_inputs_that_a_model_refuses_say_nothing_of_its_child(bench: Bench) -> None:
    pid = pid_of(bench)
    for job in "abc":
        bench.outcome("invalid", job=job)
    assert pid_of(bench) == pid


def test_attempts_that_were_cancelled_say_nothing_of_their_child(bench: Bench) -> None:
    pid = pid_of(bench)
    for job in "abc":
        before = len(bench.told)
        bench.launch("obey", job=job)
        bench.slot.halt()
        bench.next("halted", since=before)
    assert pid_of(bench) == pid


def test_an_error_of_the_device_costs_the_child_at_once(bench: Bench) -> None:
    pid = pid_of(bench)
    outcome = bench.outcome("device", job="a")
    assert (outcome.kind, outcome.error) == ("model_error", "AcceleratorError")
    assert pid_of(bench) != pid
