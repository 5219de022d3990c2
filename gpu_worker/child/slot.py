"""A slot: one child process after another, and the certainty that what must stop has stopped.

Theory of operation. A slot is EMPTY, or its child is IDLE with a version loaded, LOADING one, COMPUTING an attempt, or
on its way to stop: ASKED (by a cancel message; a model that returns by itself stays loaded), TERMINATING (SIGTERM to
its process group), KILLING (SIGKILL). Each of the last three has a short time limit that leads to the next. A time-out,
a kill and a switch to another version all take this way. The end of the process is seen through its pidfd, so the end
is certain even when a grandchild keeps the pipes open. What a child left behind in groups of its own is ended before
the slot is used again (`strays`). All of this runs in the agent's main thread.

A child that failed different jobs in a row, or that says that it is broken, is replaced. A process that lives on long
after SIGKILL (a device holds it) can neither compute nor say anything more, so its attempt ends there; the slot is
LOST, and is given back when the process ends.

A rank of a gang gets a child of its own, which ends with the attempt: its process group is of that attempt. The child
is never asked to stop, only ended: a rank that returned early would leave the other ranks waiting for it.
"""

from __future__ import annotations

import time

import structlog

from gpu_worker.child.messages import CancelRun, FromModel, ModelFailed, ModelLoaded, ModelProgressed, ModelSucceeded
from gpu_worker.child.model_process import JOB, ModelProcess
from gpu_worker.child.slot_stages import (
    ASKED_S,
    KILLING_S,
    LAST_PRINTS,
    LAST_RECEIVES,
    LOADING_S,
    STRAYS_S,
    SWEEPING_S,
    TERMINATING_S,
    SlotListener,
    Stage,
)
from gpu_worker.child.work import LaunchedWork, Work
from gpu_worker.rules.outcome import ChildOutcome, Computed, Failure, claimed, disk_failure
from runtime.worker import metrics
from runtime.worker.confinement import Confinement
from runtime.worker.frames import BadFrame
from runtime.worker.launch import ChildLaunch
from runtime.worker.loop import Loop
from runtime.worker.scratch import Scratch
from runtime.worker.strays import Strays

log = structlog.get_logger(__name__)

UNDYING = Failure("child_died", "Signal9")
"""Of an attempt whose child was killed and lives on."""

CHILD_KINDS = (
    *("model_error", "out_of_memory", "bad_inputs", "bad_values", "bad_outputs", "environment", "store", "time_out"),
)
"""Failure kinds that a child may claim."""


class Slot:
    def __init__(
        self,
        launch: ChildLaunch,
        loop: Loop,
        scratch: Scratch,
        strays: Strays,
        listener: SlotListener,
        confinement: Confinement | None = None,
    ) -> None:
        """`confinement`: what holds the children off this process; None: nothing does."""
        self._launch = launch
        self._confinement = confinement
        self._loop = loop
        self._scratch = scratch
        self._strays = strays
        self._listener = listener
        self._stage = Stage.EMPTY
        self._process: ModelProcess | None = None
        """None exactly while the slot is EMPTY or SWEEPING."""
        self._launched: LaunchedWork | None = None
        """The attempt in the slot, until it is done or halted."""
        self._swept_by_s = 0.0
        """When the slot waits no longer for what a child left behind (monotonic clock)."""
        self.deadline_s: float | None = None
        """When `on_deadline` is to be called (monotonic clock)."""

    @property
    def pid(self) -> int:
        """The child's process id, 0 when there is none."""
        return self._process.pid if self._process is not None else 0

    # -- what the agent asks --------------------------------------------------------------------------------------

    def launch(self, work: Work) -> None:
        """Compute this attempt: in the child there is if the child has the version loaded, else in a new child."""
        self._launched = launched = LaunchedWork(work)
        process = self._process
        if self._stage is Stage.EMPTY:
            self._start(launched)
        elif self._stage is not Stage.IDLE or process is None:
            return  # the child is on its way to end; the work starts when the child has ended
        elif process.may_serve(work.run):
            if self._give(process, launched):
                self._enter(Stage.COMPUTING, work.run.timeout_ms / 1000)
        else:
            self._terminate(process)

    def halt(self) -> None:
        """Stop the attempt. The listener is told `halted` when it is certain that the attempt is not computed."""
        launched, process = self._launched, self._process
        if launched is None or launched.is_halting:
            return
        launched.is_halting = True
        if process is None or not launched.is_sent:
            self._launched = None
            self._listener.halted(self._launch.index, launched.work.run)
        elif self._stage is Stage.COMPUTING:
            self._ask(process, launched)
        elif self._stage is Stage.LOADING:
            self._terminate(process)

    def kill(self) -> None:
        """Begin to end the child, for `close`."""
        if self._process is not None:
            self._process.kill()

    def close(self, within_s: float) -> bool:
        """End the child; nobody is told of its attempt. False when the child has not ended within the time."""
        process = self._process
        if process is None:
            return True
        process.kill()
        ended = process.ended(within_s) is not None
        self._let_go(process)
        self._enter(Stage.EMPTY, None)
        return ended

    def on_deadline(self) -> None:
        """The time limit of the stage is over."""
        process = self._process
        match self._stage:
            case Stage.COMPUTING if process is not None and self._launched is not None:
                self._launched.settle(Failure("time_out", "TimeOut"))
                self._ask(process, self._launched)
            case Stage.LOADING if process is not None and self._launched is not None:
                self._launched.settle(Failure("time_out", "LoadTimeOut"))
                self._terminate(process)
            case Stage.ASKED if process is not None:
                self._terminate(process)
            case Stage.TERMINATING if process is not None:
                self._kill(process)
            case Stage.KILLING | Stage.LOST if process is not None:
                process.insist()
                self._take_end(process)
            case Stage.SWEEPING:
                self._sweep()
            case _:
                self.deadline_s = None

    # -- the way of a child ---------------------------------------------------------------------------------------

    def _start(self, launched: LaunchedWork) -> None:
        work = launched.work
        try:
            process = ModelProcess(self._launch, work, self._loop, self._scratch, self._strays, self, self._confinement)
        except OSError as error:
            self._end_work(launched, disk_failure(error, "environment"))
            return
        self._process = process
        process.send(work.load_message(self._launch))
        if self._give(process, launched):
            self._enter(Stage.LOADING, LOADING_S if work.gang is None else work.gang.join_s + LOADING_S)

    def _give(self, process: ModelProcess, launched: LaunchedWork) -> bool:
        """False when the child cannot be given the work, and ends."""
        launched.is_sent = True
        process.served.add(launched.work.run.tenant)
        try:
            process.send(launched.work.run_message(self._launch, self._scratch))
        except OSError as error:
            launched.settle(disk_failure(error, "store"))
            self._terminate(process)
            return False
        return True

    def _ask(self, process: ModelProcess, launched: LaunchedWork) -> None:
        run = launched.work.run
        if run.world > 1:
            self._terminate(process)
            return
        process.send(CancelRun(run.dispatch))
        self._enter(Stage.ASKED, ASKED_S)

    def _terminate(self, process: ModelProcess) -> None:
        process.terminate()
        self._enter(Stage.TERMINATING, TERMINATING_S)

    def _kill(self, process: ModelProcess) -> None:
        process.kill()
        self._enter(Stage.KILLING, KILLING_S)

    def _enter(self, stage: Stage, limit_s: float | None) -> None:
        self._stage = stage
        self.deadline_s = None if limit_s is None else time.monotonic() + limit_s

    # -- what the child does --------------------------------------------------------------------------------------

    def on_frames(self, process: ModelProcess) -> None:
        self._read(process)

    def _read(self, process: ModelProcess) -> bool:
        """Take the messages that have arrived: what one receive brings may be no whole message. False when no more will
        come."""
        messages = process.receive()
        if messages is None:
            if self._stage not in (Stage.TERMINATING, Stage.KILLING, Stage.LOST):
                self._terminate(process)  # the child ended, or lives on without a word: nothing will come of it
            return False
        for message in messages:
            if isinstance(message, BadFrame):
                self._on_bad_frame(process, message)
                return False
            self._on_message(process, message)
        return True

    def _on_bad_frame(self, process: ModelProcess, frame: BadFrame) -> None:
        """What comes after a bad frame cannot be told apart: the child is ended, and the attempt it had then fails."""
        process.ignore()
        if self._launched is not None and self._launched.is_sent:
            self._launched.settle(Failure("bad_outputs", "BadFrame", f"{frame.reason}\n"))
        if self._stage is not Stage.LOST:
            self._kill(process)

    def _on_message(self, process: ModelProcess, message: FromModel) -> None:
        launched = self._launched
        if launched is None:
            return
        run = launched.work.run
        if isinstance(message, ModelLoaded):
            if self._stage is Stage.LOADING:
                launched.note_loaded()
                self._enter(Stage.COMPUTING, run.timeout_ms / 1000)
                if run.world == 1:
                    self._listener.loaded(self._launch.index, process.version)
        elif not launched.is_sent:
            return
        elif isinstance(message, ModelProgressed):
            if message.dispatch == run.dispatch and self._stage is Stage.COMPUTING and launched.work.rank == 0:
                self._listener.progressed(run, message.fraction, message.message)
        elif message.dispatch == run.dispatch:
            self._on_answer(process, launched, message)
        elif isinstance(message, ModelFailed) and self._stage is Stage.LOADING:
            launched.settle(_failure(message))
            self._terminate(process)

    def _on_answer(self, process: ModelProcess, launched: LaunchedWork, answer: ModelSucceeded | ModelFailed) -> None:
        """The child answered the attempt, in time or not."""
        outcome: ChildOutcome = _failure(answer) if isinstance(answer, ModelFailed) else _computed(answer)
        if isinstance(outcome, Computed) and (outcome.outputs or outcome.media) and not launched.is_settled:
            outcome = self._with_outputs_kept(launched, outcome)
        verdict = launched.settle(outcome)
        if self._stage not in (Stage.COMPUTING, Stage.ASKED):
            return
        memory_ran_out = isinstance(outcome, Failure) and outcome.kind == "out_of_memory"
        if memory_ran_out or launched.work.run.world > 1:
            self._terminate(process)  # what the child still holds would fail the next attempt, or is of this one only
            return
        if launched.work.run.isolation == JOB:
            self._terminate(process)  # nobody's next job may meet what this one left
            return
        if self._is_spent(process, launched, answer, verdict):
            self._terminate(process)
            return
        self._enter(Stage.IDLE, None)
        self._keep_prints(process, LAST_PRINTS)  # so that nothing is left that would be taken for the next attempt's
        self._end_work(launched, verdict)

    def _with_outputs_kept(self, launched: LaunchedWork, outcome: Computed) -> ChildOutcome:
        try:
            self._scratch.keep_outputs(self._launch.index, launched.work.run.dispatch)
        except OSError as error:
            return disk_failure(error, "store")
        return outcome

    def _is_spent(
        self, process: ModelProcess, launched: LaunchedWork, answer: ModelSucceeded | ModelFailed, verdict: ChildOutcome
    ) -> bool:
        """Whether the child would fail the next attempt, too. An attempt that is cancelled tells nothing."""
        broken = isinstance(answer, ModelFailed) and answer.broken
        failing = not launched.is_halting and process.streak.note(launched.work.run.job, verdict)
        if not broken and not failing:
            return False
        metrics.children_replaced.inc()
        log.warning(
            "child replaced: expected it to go on computing, found that "
            + ("only a new process can" if broken else "it failed different jobs in a row"),
            slot=self._launch.index,
            version=process.version,
        )
        return True

    def on_print(self, process: ModelProcess) -> None:
        self._keep_prints(process, 1)

    def _keep_prints(self, process: ModelProcess, pieces_max: int) -> None:
        launched = self._launched
        for data in process.prints(pieces_max):
            if launched is not None and launched.is_sent:
                launched.prints.add(data)

    def on_end(self, process: ModelProcess) -> None:
        """The process ended: hear its last words, then say what became of its attempt."""
        for _ in range(LAST_RECEIVES):
            if not self._read(process):
                break
        self._keep_prints(process, LAST_PRINTS)
        process.note_end()
        self._take_end(process)

    def _take_end(self, process: ModelProcess) -> None:
        """Take the child's exit status, and go on from there. Without a status the child is looked at again, until its
        slot is lost."""
        status = process.ended()
        if status is None:
            if self._stage is Stage.LOST:
                self._enter(Stage.LOST, KILLING_S)
            elif process.is_undying:
                self._lose()
            else:
                self._kill(process)
            return
        was_lost = self._stage is Stage.LOST
        if self._launched is not None and self._launched.is_sent:
            self._launched.settle(Failure("child_died", _death(status), self._launched.prints.tail()))
        self._let_go(process)
        if was_lost:
            log.info("slot regained: the child that did not die has ended", slot=self._launch.index)
            metrics.slots_lost.dec()
            self._listener.regained(self._launch.index)
        self._sweep()

    def _sweep(self) -> None:
        """End what the child left behind. When nothing is left, the slot is free for the next child."""
        if self._strays.clear() and time.monotonic() < self._swept_by_s:
            self._enter(Stage.SWEEPING, STRAYS_S)
            return
        self._enter(Stage.EMPTY, None)
        self._scratch.clean_home(self._launch.index)
        launched = self._launched
        if launched is None:
            return
        if launched.is_sent:
            self._end_work(launched, launched.settle(UNDYING))
        else:
            self._start(launched)

    def _lose(self) -> None:
        """The killed child lives on: its attempt is over, and whatever waits for the slot goes elsewhere."""
        self._enter(Stage.LOST, KILLING_S)
        metrics.slots_lost.inc()
        launched = self._launched
        is_unbegun = launched is not None and not launched.is_sent
        self._listener.lost(self._launch.index, launched.work.run.dispatch if launched and is_unbegun else "")
        if launched is not None and not is_unbegun:
            self._end_work(launched, launched.settle(UNDYING))

    def _let_go(self, process: ModelProcess) -> None:
        process.close()
        self._process = None
        self._enter(Stage.SWEEPING, None)
        self._swept_by_s = time.monotonic() + SWEEPING_S
        self._listener.loaded(self._launch.index, "")

    def _end_work(self, launched: LaunchedWork, outcome: ChildOutcome) -> None:
        """Tell how the attempt ended. The listener may launch the next attempt at once, so nothing comes after."""
        self._launched = None
        if launched.is_halting:
            self._listener.halted(self._launch.index, launched.work.run)
        else:
            self._listener.done(self._launch.index, launched.work.run, launched.told(outcome))


def _computed(message: ModelSucceeded) -> Computed:
    return Computed(message.values, message.outputs, message.media)


def _failure(message: ModelFailed) -> Failure:
    return claimed(message.kind if message.kind in CHILD_KINDS else "model_error", message.error, message.detail)


def _death(status: int) -> str:
    """How a process ended, as an identifier: Signal9, Exit3."""
    return f"Signal{-status}" if status < 0 else f"Exit{status}"
