"""A supervisor that notices another installation key starts those anew whom it matters to, the scheduler first."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from contract.signing import installation_keys
from local import supervisor as supervisor_module
from local.composition import Composition
from local.data_directory import make_private
from local.installation_key import finish, rotate
from local.options import Layout, Options, recall
from local.processes import Process
from local.program import StackProgram
from local.stack import settings
from local.supervisor import Supervisor


class Stack:
    """The parts of a stack, started in memory: what was started and stopped, and who does not start again."""

    def __init__(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.did: list[str] = []
        self.broken: set[str] = set()
        self.runs: set[Process] = set()
        monkeypatch.setattr(Process, "start", lambda process: self._start(process))
        monkeypatch.setattr(Process, "stop", lambda process, timeout_s: self._stop(process))
        monkeypatch.setattr(Process, "alive", lambda process: process in self.runs)
        monkeypatch.setattr("httpx.Client", lambda **options: None)  # nobody asks, and making one takes 20 ms
        monkeypatch.setattr(StackProgram, "ready", StackProgram.alive)
        monkeypatch.setattr(supervisor_module, "TICK_S", 0)
        monkeypatch.setattr(supervisor_module, "READY_TIMEOUT_S", 0.05)
        for name in ("DATABASE_URL", "HEADRACE_S3_ENDPOINT", "HEADRACE_INSTALLATION_KEYS"):
            monkeypatch.delenv(name, raising=False)
        self.layout = Layout(data)
        make_private(self.layout)
        options = Options(data=data)
        self.composition = Composition(options, self.layout, recall(self.layout), 1000)
        self.supervisor = Supervisor(options, 1)
        self.supervisor._describe(self.composition)
        for program in [*self.composition.programs, *self.composition.nodes]:
            self.supervisor._add(program).start()
        self.did.clear()

    def _start(self, process: Process) -> None:
        self.did.append(f"start {process.name}")
        if process.name not in self.broken:
            self.runs.add(process)

    def _stop(self, process: Process) -> bool:
        self.did.append(f"stop {process.name}")
        self.runs.discard(process)
        return True

    def follow(self) -> list[str]:
        """What the supervisor does once it has noticed."""
        assert self.supervisor._key_watch.has_changed()
        self.did.clear()
        self.supervisor._follow_keys(self.composition, threading.Event())
        return self.did

    def signs(self) -> dict[str, str]:
        """Id of the key by part, of those that sign."""
        return {part.name: part.key_id for part in self.supervisor.status.parts if part.key_id}


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    return Stack(tmp_path / "data", monkeypatch)


SIGNERS = ["api", "intake", "relay", "node-1"]


def anew(*names: str) -> list[str]:
    return [f"{what} {name}" for name in names for what in ("stop", "start")]


def test_they_start_anew_one_after_another_and_commands_sign_by_the_new_key(stack: Stack) -> None:
    new, old = rotate(stack.layout.installation_keys)
    assert stack.signs() == dict.fromkeys(SIGNERS, old.id)
    assert stack.follow() == anew("scheduler", *SIGNERS)
    assert stack.signs() == dict.fromkeys(SIGNERS, new.id)
    assert settings(stack.layout.data).signing_key == new.of("operator.owner").text
    finish(stack.layout.installation_keys)
    assert stack.follow() == anew("scheduler"), "which refuses the old key from now on"


def test_while_the_scheduler_does_not_run_again_nobody_signs_by_a_key_that_it_may_not_know(stack: Stack) -> None:
    (old,) = installation_keys(stack.layout.installation_keys.read_text())
    before = settings(stack.layout.data).signing_key
    stack.broken = {"scheduler"}
    rotate(stack.layout.installation_keys)
    assert stack.follow() == anew("scheduler")
    assert stack.signs() == dict.fromkeys(SIGNERS, old.id)
    assert settings(stack.layout.data).signing_key == before


def test_a_file_that_cannot_be_read_or_is_gone_changes_nothing(stack: Stack) -> None:
    stack.layout.installation_keys.write_text("half a k")
    assert stack.follow() == []
    stack.layout.installation_keys.unlink()
    assert not stack.supervisor._key_watch.has_changed()
