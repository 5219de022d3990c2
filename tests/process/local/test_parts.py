"""A part that crashes is started again, later and later, and not while the disk is full."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import disk, parts, ports
from local.errors import CannotStart
from local.options import Layout
from local.parts import StackPart
from local.processes import Process


class Sleeper:
    """A real process that is ready while it runs."""

    name = "sleeper"
    port = 0

    def __init__(self, folder: Path) -> None:
        self.process: Process | None = Process(
            self.name, [sys.executable, "-c", "import time; time.sleep(600)"], folder / "sleeper.log"
        )

    def _own(self) -> Process:
        assert self.process is not None
        return self.process

    def start(self) -> None:
        self._own().start()

    def ready(self) -> bool:
        return self.alive()

    def await_ready(self) -> None:
        self._own().await_ready(self.ready, 20)

    def alive(self) -> bool:
        return self._own().alive()

    def kill(self) -> None:
        self._own().kill()

    def stop(self) -> None:
        self._own().stop(20)


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Sleeper]:
    sleeper = Sleeper(tmp_path)
    yield sleeper
    sleeper.kill()


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock that parts read: now[0], in seconds."""
    clock = [1000.0]
    monkeypatch.setattr("local.parts.time.monotonic", lambda: clock[0])
    return clock


def test_a_crash_is_told_and_mended_later_and_later(tmp_path: Path, sleeper: Sleeper, now: list[float]) -> None:
    part = StackPart(sleeper, Layout(tmp_path))
    part.start()
    part.tick()
    assert (part.status.state, part.status.restarts) == ("ready", 0)
    for crash, backoff_s in enumerate((0.5, 1.0, 2.0), start=1):
        sleeper.kill()
        part.tick()
        assert (part.status.state, part.status.restarts, part.status.pid) == ("restarting", crash, 0)
        assert "exit status -9" in part.status.note
        now[0] += backoff_s - 0.01
        part.tick()
        assert not sleeper.alive()
        now[0] += 0.02
        part.tick()
        assert sleeper.alive()
        part.tick()
        assert part.status.state == "ready"


def test_a_node_that_is_kept_out_rests_for_as_long_as_a_part_may(
    tmp_path: Path, sleeper: Sleeper, now: list[float]
) -> None:
    sleeper.process = Process(sleeper.name, [sys.executable, "-c", "raise SystemExit(4)"], tmp_path / "sleeper.log")
    part = StackPart(sleeper, Layout(tmp_path))
    part.start()
    assert sleeper.process.wait(20)
    part.tick()
    assert (part.status.state, part.status.restarts) == ("restarting", 1)
    first = sleeper.process.pid
    now[0] += parts.BACKOFF_S_MAX - 0.01
    part.tick()
    assert sleeper.process.pid == first, "the scheduler would refuse it again"
    now[0] += 0.02
    part.tick()
    assert sleeper.process.pid != first


def test_one_that_crashes_says_where_it_is_stuck(tmp_path: Path, sleeper: Sleeper, now: list[float]) -> None:
    part = StackPart(sleeper, Layout(tmp_path))
    log = Path(part.status.log)
    log.parent.mkdir()
    log.write_text(json.dumps({"level": "error", "event": "of a life before"}) + "\n")
    part.start()
    part.tick()
    assert part.status.steady
    stuck = {"level": "error", "event": "a record stops intake", "topic": "submissions", "partition": 0, "offset": 17}
    with log.open("a") as file:
        file.write(json.dumps({**stuck, "found": "ValueError at admission.py:97"}) + "\n")
    sleeper.kill()
    part.tick()
    place = "submissions/0/17: a record stops intake: ValueError at admission.py:97"
    assert part.status.note == f"crashed (exit status -9): {place}; look at {log}"
    now[0] += 1
    part.tick()
    part.tick()
    assert (part.status.state, part.status.steady) == ("ready", False), "it may be stuck there again: it is still shown"
    sleeper.kill()
    part.tick()
    assert part.status.note == f"crashed (exit status -9); look at {log}", "this life said nothing"
    now[0] += 2
    part.tick()
    now[0] += parts.STEADY_S + 1
    part.tick()
    part.tick()
    assert part.status.steady


def test_one_whose_port_somebody_else_has_says_so_and_will_never_run(
    tmp_path: Path, sleeper: Sleeper, now: list[float]
) -> None:
    with socket.create_server((ports.HOST, 0)) as server:
        sleeper.port = server.getsockname()[1]
        part = StackPart(sleeper, Layout(tmp_path))
        part.start()
        part.require_port()
        sleeper.kill()
        part.tick()
        assert f"crashed (exit status -9): port {sleeper.port} is in use by another process" in part.status.note
        with pytest.raises(CannotStart, match=f"port {sleeper.port} .* to be free for sleeper"):
            part.require_port()
    part.require_port()


def test_one_that_ran_steadily_is_trusted_again(tmp_path: Path, sleeper: Sleeper, now: list[float]) -> None:
    part = StackPart(sleeper, Layout(tmp_path))
    part.start()
    for _ in range(3):
        sleeper.kill()
        part.tick()
        now[0] += parts.BACKOFF_S_MAX
        part.tick()
    now[0] += parts.STEADY_S + 1
    sleeper.kill()
    part.tick()
    now[0] += parts.BACKOFF_S + 0.01
    part.tick()
    assert sleeper.alive()


def test_nothing_is_started_on_a_full_disk_until_there_is_space(
    tmp_path: Path, sleeper: Sleeper, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = StackPart(sleeper, Layout(tmp_path))
    part.start()
    sleeper.kill()
    part.tick()
    monkeypatch.setattr(disk, "free_mib", lambda _: 1)
    now[0] += 1
    part.tick()
    assert (part.status.state, sleeper.alive()) == ("no space", False)
    monkeypatch.setattr(disk, "free_mib", lambda _: disk.RUN_FREE_MIB_MIN)
    part.tick()
    assert sleeper.alive()


def test_stopping_it_is_no_crash(tmp_path: Path, sleeper: Sleeper) -> None:
    part = StackPart(sleeper, Layout(tmp_path))
    part.start()
    part.stop()
    assert (part.status.state, part.status.pid, part.status.restarts) == ("stopped", 0, 0)
