"""A slot: one child process after another, and the certainty that what must stop has stopped.

Theory of operation. A slot is EMPTY, or its child is IDLE with a version loaded, LOADING one, COMPUTING an attempt,
or on its way to stop: ASKED (by a cancel frame; a model that returns by itself stays loaded), TERMINATING (SIGTERM
to its process group), KILLING (SIGKILL). Each of the last three has a short time limit that leads to the next; a
time-out, a kill and a switch to another version all take this way. The end of the process is seen through its pidfd,
so it is certain even when a grandchild keeps the pipes open. All in the agent's main thread.

A rank of a gang gets a child of its own, which ends with the attempt: its process group is of that attempt. It is never
asked to stop, only ended: one rank that returned early would leave the others waiting for it.
"""

from __future__ import annotations

import time
from enum import Enum, auto
from pathlib import Path
from typing import Protocol

from contract.orders import Run
from gpu_worker.child.work import Work
from gpu_worker.rules.outcome import ChildOutcome, Computed, Failure, claimed, disk_failure
from runtime.worker.child_process import ChildProcess
from runtime.worker.frames import (
    BadFrame,
    Cancel,
    Compute,
    Failed,
    FromChild,
    Load,
    Loaded,
    Progressed,
    Succeeded,
)
from runtime.worker.launch import ChildLaunch
from runtime.worker.loop import Loop
from runtime.worker.prints import Prints
from runtime.worker.scratch import Scratch

CHILD = Path(__file__).with_name("run_model.py")
"""The program that runs a model, in the version's own environment."""

ASKED_S = 1.0
"""How long a model may take to notice that it is cancelled, before its process is ended."""

TERMINATING_S = 0.5
KILLING_S = 1.0
"""How often a process that was killed is looked at again, should its end not be announced."""

LAST_RECEIVES = 64
"""Of 16 KiB each, once a child has ended: more than it can have left in a socket. What goes on is another's."""

LAST_PRINTS = 16
"""Of 64 KiB each: as much as a pipe holds."""

LOADING_S = 900.0
"""How long a version may take to import and load."""

CHILD_KINDS = ("model_error", "out_of_memory", "bad_inputs", "bad_values", "environment", "store", "time_out")
"""Failure kinds that a child may claim."""


class Stage(Enum):
    EMPTY = auto()
    IDLE = auto()
    LOADING = auto()
    COMPUTING = auto()
    ASKED = auto()
    TERMINATING = auto()
    KILLING = auto()


class Watcher(Protocol):
    """Who is told. Each launched attempt ends in exactly one `done` or, after `halt`, one `halted`."""

    def loaded(self, slot: int, version: str) -> None: ...
    def progressed(self, run: Run, fraction: float, message: str) -> None: ...
    def done(self, slot: int, run: Run, outcome: ChildOutcome) -> None: ...
    def halted(self, slot: int, run: Run) -> None: ...


class Slot:
    def __init__(self, seat: ChildLaunch, loop: Loop, scratch: Scratch, watcher: Watcher) -> None:
        self._seat = seat
        self._loop = loop
        self._scratch = scratch
        self._watcher = watcher
        self._stage = Stage.EMPTY
        self._child: ChildProcess | None = None
        self._version = ""
        self._work: Work | None = None
        """The attempt in the slot, until it is done or halted."""
        self._sent = False
        """The child has been given it; else it waits for the child of another version to end."""
        self._halting = False
        self._verdict: ChildOutcome | None = None
        """What is already settled about the attempt while its child is being ended."""
        self._prints = Prints()
        self.deadline_s: float | None = None
        """When `on_deadline` is to be called (monotonic clock)."""

    @property
    def pid(self) -> int:
        """The child's process id, 0 when there is none."""
        return self._child.pid if self._child is not None else 0

    # -- what the agent asks --------------------------------------------------------------------------------------

    def launch(self, work: Work) -> None:
        """Compute this attempt: in the child there is if it has the version loaded, else in a new one."""
        self._work, self._sent, self._halting, self._verdict = work, False, False, None
        self._prints = Prints()
        if self._stage is Stage.IDLE and self._version == work.run.version and work.run.world == 1:
            self._give()
            self._enter(Stage.COMPUTING, work.run.timeout_ms / 1000)
        elif self._stage is Stage.EMPTY:
            self._start()
        elif self._stage is Stage.IDLE:
            self._terminate()

    def halt(self) -> None:
        """Stop the attempt; `halted` is called when that is certain."""
        if self._work is None or self._halting:
            return
        self._halting = True
        if not self._sent:
            self._close_attempt()
        elif self._stage is Stage.COMPUTING:
            self._ask()
        elif self._stage is Stage.LOADING:
            self._terminate()

    def kill(self) -> None:
        """Begin to end the child, for `close`."""
        if self._child is not None:
            self._child.kill()

    def close(self, within_s: float) -> bool:
        """End the child; of its attempt nobody is told. False when it has not ended within the time."""
        child = self._child
        if child is None:
            return True
        child.kill()
        ended = child.ended(within_s) is not None
        self._let_go(child)
        return ended

    def on_deadline(self) -> None:
        match self._stage:
            case Stage.COMPUTING:
                self._verdict = Failure("time_out", "TimeOut")
                self._ask()
            case Stage.LOADING:
                self._verdict = Failure("time_out", "LoadTimeOut")
                self._terminate()
            case Stage.ASKED:
                self._terminate()
            case Stage.TERMINATING:
                self._kill()
            case Stage.KILLING if self._child is not None:
                self._child.insist()
                self._enter(Stage.KILLING, KILLING_S)
                self._take_end(self._child)
            case _:
                self.deadline_s = None

    # -- the way of a child ---------------------------------------------------------------------------------------

    def _start(self) -> None:
        work = self._work
        assert work is not None, "a child is started for an attempt, but there is none"
        seat, program = self._seat, work.supplies.program
        try:
            self._scratch.new_home(seat.index)
            environment = dict(seat.environment)
            environment |= {"HOME": self._scratch.home(seat.index), "TMPDIR": self._scratch.temporary(seat.index)}
            child = ChildProcess(str(program.python), CHILD, environment, self._scratch.home(seat.index))
        except OSError as error:
            self._verdict = disk_failure(error, "environment")
            self._close_attempt()
            return
        self._child, self._version = child, work.run.version
        self._loop.watch(child, self._on_frames)
        self._loop.watch(child.log_fd, self._on_print)
        self._loop.watch(child.pid_fd, self._on_end)
        entry_point = program.manifest.entry_point
        gang, code, weights = work.gang, str(program.code), str(program.weights)
        self._send(Load(code, weights, entry_point, seat.device, work.rank, work.run.world, seat.threads, gang))
        self._give()
        self._enter(Stage.LOADING, LOADING_S if gang is None else gang.join_s + LOADING_S)

    def _give(self) -> None:
        work = self._work
        assert work is not None, "a child is given an attempt, but there is none"
        self._sent = True
        directory = self._scratch.outputs(work.run.dispatch, work.rank)
        self._send(Compute(work.run.dispatch, work.supplies.inputs, directory))

    def _send(self, message: Load | Compute | Cancel) -> None:
        if self._child is not None and not self._child.send(message):
            self._loop.watch(self._child, self._on_writable, writing=True)

    def _ask(self) -> None:
        assert self._work is not None, "a child is asked to stop an attempt, but there is none"
        if self._work.run.world > 1:
            self._terminate()
            return
        self._send(Cancel(self._work.run.dispatch))
        self._enter(Stage.ASKED, ASKED_S)

    def _terminate(self) -> None:
        if self._child is not None:
            self._child.terminate()
            self._enter(Stage.TERMINATING, TERMINATING_S)

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._enter(Stage.KILLING, KILLING_S)

    def _enter(self, stage: Stage, limit_s: float | None) -> None:
        self._stage = stage
        self.deadline_s = None if limit_s is None else time.monotonic() + limit_s

    # -- what the child does --------------------------------------------------------------------------------------

    def _on_frames(self, _mask: int) -> None:
        if self._child is not None:
            self._read(self._child)

    def _on_writable(self, _mask: int) -> None:
        if self._child is not None:
            if self._child.send_rest():
                self._loop.watch(self._child, self._on_frames)
            self._read(self._child)

    def _read(self, child: ChildProcess) -> bool:
        """Take what frames there are. False when there will be no more."""
        frames = child.receive()
        if frames is None:
            self._loop.unwatch(child)
            if self._stage not in (Stage.TERMINATING, Stage.KILLING):
                self._terminate()  # it ended, or lives on without a word: either way nothing will come of it
            return False
        for frame in frames:
            if isinstance(frame, BadFrame):
                self._on_bad_frame(child, frame)
                return False
            self._on_frame(frame)
        return bool(frames)

    def _on_bad_frame(self, child: ChildProcess, frame: BadFrame) -> None:
        """What comes after it cannot be told apart: the child is ended, and the attempt it had then fails."""
        self._loop.unwatch(child)
        self._settle(Failure("bad_outputs", "BadFrame", f"{frame.reason}\n"))
        self._kill()

    def _on_frame(self, frame: FromChild) -> None:
        work = self._work
        if isinstance(frame, Loaded):
            if self._stage is Stage.LOADING and work is not None:
                self._enter(Stage.COMPUTING, work.run.timeout_ms / 1000)
                if work.run.world == 1:
                    self._watcher.loaded(self._seat.index, self._version)
        elif work is None or not self._sent:
            return
        elif isinstance(frame, Progressed):
            if frame.dispatch == work.run.dispatch and self._stage is Stage.COMPUTING and work.rank == 0:
                self._watcher.progressed(work.run, frame.fraction, frame.message)
        elif frame.dispatch == work.run.dispatch:
            self._on_answer(frame)
        elif isinstance(frame, Failed) and self._stage is Stage.LOADING:
            self._settle(_failure(frame))
            self._terminate()

    def _on_answer(self, frame: Succeeded | Failed) -> None:
        """The child answered the attempt, in time or not."""
        outcome: ChildOutcome = (
            Computed(frame.values, frame.outputs) if isinstance(frame, Succeeded) else _failure(frame)
        )
        self._settle(outcome)
        if self._stage not in (Stage.COMPUTING, Stage.ASKED):
            return
        memory_ran_out = isinstance(outcome, Failure) and outcome.kind == "out_of_memory"
        if memory_ran_out or (self._work is not None and self._work.run.world > 1):
            self._terminate()  # what it still holds would fail the next attempt too, or is of this attempt only
            return
        self._enter(Stage.IDLE, None)
        self._close_attempt()

    def _settle(self, outcome: ChildOutcome) -> None:
        """The first thing that is known about an attempt stands: an answer after a time-out changes nothing."""
        if self._verdict is None:
            self._verdict = outcome

    def _on_print(self, _mask: int) -> None:
        if self._child is not None:
            self._drain_prints(self._child, rounds=1)

    def _drain_prints(self, child: ChildProcess, rounds: int) -> None:
        for _ in range(rounds):
            data = child.printed()
            if data is None:
                self._loop.unwatch(child.log_fd)
            if not data:
                return
            if self._work is not None and self._sent:
                self._prints.add(data)

    def _on_end(self, _mask: int) -> None:
        """The process ended: hear its last words, then say what became of its attempt."""
        child = self._child
        if child is None:
            return
        for _ in range(LAST_RECEIVES):
            if not self._read(child):
                break
        self._drain_prints(child, LAST_PRINTS)
        self._loop.unwatch(child.pid_fd)
        if not self._take_end(child):
            self._kill()  # looked at again from there

    def _take_end(self, child: ChildProcess) -> bool:
        """Take the child's exit status, and go on from there; False when there is none to be had yet."""
        status = child.ended()
        if status is None:
            return False
        self._let_go(child)
        if self._work is not None and self._sent:
            if self._verdict is None:
                self._verdict = Failure("child_died", _death(status), self._prints.tail())
            self._close_attempt()
        elif self._work is not None:
            self._start()
        return True

    def _let_go(self, child: ChildProcess) -> None:
        self._loop.unwatch(child)
        self._loop.unwatch(child.log_fd)
        self._loop.unwatch(child.pid_fd)
        child.close()
        self._child, self._version = None, ""
        self._enter(Stage.EMPTY, None)
        self._watcher.loaded(self._seat.index, "")

    def _close_attempt(self) -> None:
        """Tell how the attempt ended. The watcher may launch the next one at once, so nothing comes after."""
        work, verdict, halting = self._work, self._verdict, self._halting
        assert work is not None, "an attempt is closed, but there is none"
        if self._child is not None:
            self._drain_prints(self._child, LAST_PRINTS)
        self._work, self._verdict, self._halting = None, None, False
        if halting:
            self._watcher.halted(self._seat.index, work.run)
        else:
            assert verdict is not None, "an attempt is closed, but nothing is known of it"
            self._watcher.done(self._seat.index, work.run, verdict)


def _outcome_of(frame: Succeeded | Failed) -> ChildOutcome:
    return Computed(frame.values, frame.outputs) if isinstance(frame, Succeeded) else _failure(frame)


def _failure(frame: Failed) -> Failure:
    return claimed(frame.kind if frame.kind in CHILD_KINDS else "model_error", frame.error, frame.detail)


def _death(status: int) -> str:
    """How a process ended, as an identifier: Signal9, Exit3."""
    return f"Signal{-status}" if status < 0 else f"Exit{status}"
