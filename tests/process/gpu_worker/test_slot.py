"""A slot with a real child in it: what becomes of each attempt, and of the child."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from gpu_worker.child.messages import RunModel
from gpu_worker.rules.outcome import Failure
from runtime.worker import prints
from tests.process.gpu_worker.slot_bench import Bench, alive, closing, values
from tests.waiting import until


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from closing(Bench(tmp_path))


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
    ("isolation", "tenants", "shared"),
    [
        ("version", "aab", [True, True]),
        ("tenant", "aab", [True, False]),
        ("tenant", "aba", [False, False]),
        ("job", "aab", [False, False]),
    ],
)
def test_a_child_is_kept_for_whom_the_policy_says(
    bench: Bench, isolation: str, tenants: str, shared: list[bool]
) -> None:
    pids = [values(bench.outcome("look", tenant=tenant, isolation=isolation))["pid"] for tenant in tenants]
    assert [pid == before for before, pid in pairwise(pids)] == shared


def test_no_model_returns_the_inputs_of_another_tenants_job(bench: Bench) -> None:
    """As a version, or a fault in one, could hand them on (security review, finding 15)."""
    said = [
        values(bench.outcome("keep", job=job, tenant=tenant, isolation="tenant"))
        for job, tenant in (("1", "a"), ("2", "b"))
    ]
    assert said == [{"kept": ["1.1.0"]}, {"kept": ["1.2.0"]}]


def test_a_stricter_policy_holds_for_a_child_that_served_others(bench: Bench) -> None:
    first = values(bench.outcome("look", tenant="a", isolation="version"))["pid"]
    assert values(bench.outcome("look", tenant="b", isolation="version"))["pid"] == first
    second = values(bench.outcome("look", tenant="b", isolation="tenant"))["pid"]
    assert second != first
    assert values(bench.outcome("look", tenant="b", isolation="job"))["pid"] not in (first, second)
    assert bench.slot.pid == 0, "it has ended with its job"


def test_the_load_that_an_attempt_waited_for_is_told(bench: Bench) -> None:
    begun_s = time.monotonic()
    first = bench.outcome("nothing").load_ms
    assert 0 < first <= 1 + 1000 * (time.monotonic() - begun_s)
    assert bench.outcome("nothing").load_ms == 0, "the child had the version loaded"
    assert bench.outcome("nothing", version="v2").load_ms > 0


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


def test_garbage_of_an_old_child_is_not_the_fault_of_the_attempt_that_waits_for_its_end(bench: Bench) -> None:
    bench.outcome("poison")
    assert values(bench.outcome("nothing", version="v2")) == {}


def test_a_child_that_hangs_up_is_ended(bench: Bench) -> None:
    outcome = bench.outcome("hang_up")
    assert (outcome.kind, outcome.error) == ("child_died", "Signal15")


def test_a_kind_of_failure_that_no_child_may_claim_is_the_models_error(bench: Bench) -> None:
    outcome = bench.outcome("claim")
    assert (outcome.kind, outcome.error) == ("model_error", "ValueError")


def test_a_large_answer_of_a_child_that_ends_at_once_is_heard(bench: Bench) -> None:
    pid = values(bench.outcome("look"))["pid"]
    before = len(bench.told)
    bench.launch("part")
    until(lambda: not alive(pid), "the child has ended; the loop stands still meanwhile")
    assert values(bench.next("done", since=before)) == {"x": "x" * 60_000}


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
    pid_file = Path(bench.scratch.writing(0)) / "pid"
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
    outcome = bench.outcome("mutter")
    assert values(outcome) == {}
    assert outcome.prints == 2 * "half \\ud83d caf\\udce9\n"


def test_progress_is_throttled_and_cut(bench: Bench) -> None:
    bench.outcome("tell")
    told = [value for what, value in bench.told if what == "progressed"]
    assert told == [(0.0, "m" * 200)]


def test_what_a_dying_child_printed_last_is_kept_and_bounded(bench: Bench) -> None:
    outcome = bench.outcome("chatter")
    assert (outcome.kind, outcome.error) == ("child_died", "Exit7")
    assert outcome.detail.endswith("words \n")
    assert outcome.detail.startswith("[2,334,664 bytes before these were not kept]\n")
    assert len(outcome.detail.partition("\n")[2]) == prints.KEPT_BYTES
    assert outcome.prints == outcome.detail
    assert not Path(bench.scratch.attempt("1.1.0")).exists(), "it is kept where no model can reach it"


def test_an_attempts_files_go_when_it_ends(bench: Bench) -> None:
    outcome = bench.outcome("write")
    assert outcome.outputs == ("a.txt",)
    bench.scratch.clean_temporary(0)
    bench.scratch.clean("1.1.0")
    assert list(Path(bench.scratch.temporary(0)).iterdir()) == []
    assert not Path(bench.scratch.attempt("1.1.0")).exists()
    until(lambda: not any((bench.directory / "scratch" / "gone").iterdir()), "it is deleted")


def test_outputs_lie_where_no_child_sees_them_once_it_has_answered(bench: Bench) -> None:
    bench.outcome("write")
    assert (Path(bench.scratch.outputs("1.1.0")) / "a.txt").read_text() == "a"
    assert not Path(bench.scratch.writing(0)).exists()


def test_nothing_is_compiled_into_a_version(bench: Bench) -> None:
    """The next child, another tenant's perhaps, would run it."""
    bench.outcome("nothing")
    assert [path.name for path in (bench.directory / "code").iterdir()] == ["model.py"]


def test_temporary_files_last_as_long_as_what_made_them(bench: Bench) -> None:
    """Of `load`: as long as the child. Of an attempt: as long as the attempt."""
    first = values(bench.outcome("temporary"))
    assert first == {"kept": True, "left": [], "tool": first["tool"]}
    assert Path(first["tool"]).parent == Path(bench.scratch.temporary(0)), "programs that a model starts, too"
    bench.scratch.clean_temporary(0)
    assert values(bench.outcome("temporary")) | {"tool": ""} == {"kept": True, "left": [], "tool": ""}
    kept = Path(bench.scratch.kept(0))
    assert [path.read_text() for path in kept.iterdir()] == ["kept"]
    assert list(Path(bench.scratch.home(0)).iterdir()) == [], "what an attempt puts into its home goes with it"
    bench.outcome("memory")
    assert not Path(bench.scratch.home(0)).exists()
    assert not kept.exists()
    assert values(bench.outcome("temporary"))["kept"]


def test_what_a_model_does_between_attempts_leaves_its_files_with_the_child(bench: Bench) -> None:
    bench.outcome("later")
    told = Path(bench.scratch.temporary(0)) / "later"
    until(told.exists)
    assert told.read_text() == bench.scratch.kept(0)


def test_the_agent_never_waits_for_a_child_that_does_not_read(bench: Bench) -> None:
    bench.launch("look", version="endless")
    process = bench.slot._process
    assert process is not None
    process.send(RunModel("1.9.0", msgspec.Raw(b'"' + b"x" * 3_000_000 + b'"'), "", "", 0))
    bench.slot.halt()
    assert bench.next("halted") == "1.1.0"
