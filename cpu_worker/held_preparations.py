"""The preparations that a CPU worker holds, from the order to the report: what the rules answer is carried out here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from contract.orders import Prepare
from contract.preparation_reports import PreparationReport
from cpu_worker.io.preparation_time import PreparationTime
from cpu_worker.io.preparation_work import PreparationWork, PreparingTools, Told
from cpu_worker.io.version_inputs import VersionInputs
from cpu_worker.rules.actions import (
    Abandon,
    Announce,
    Begin,
    JoinAgain,
    ListVersions,
    PreparationPhase,
    Say,
    StayOut,
    Sweep,
    WorkerAction,
)
from cpu_worker.rules.preparation_rules import PreparationRules
from cpu_worker.world import WorkerWorld
from runtime.worker import metrics
from runtime.worker.background import BackgroundThreads
from runtime.worker.heartbeat import HeartbeatTimer
from runtime.worker.loop import Loop
from runtime.worker.outages import OutageWaits
from runtime.worker.report_sender import ReportSender
from runtime.worker.rules.action_queue import ActionQueue
from runtime.worker.rules.holding import DISK_RESERVE_BYTES
from runtime.worker.scratch import Scratch

log = structlog.get_logger(__name__)

ENDING_S = 3.0
"""How long a worker that ends waits for its threads, whose processes it has ended by then."""

FRACTIONS = {
    PreparationPhase.FETCHING: ("fetching", 0.0),
    PreparationPhase.CHECKING: ("checking", 0.4),
    PreparationPhase.DECODING: ("decoding", 0.5),
    PreparationPhase.STORING: ("storing", 0.9),
}
"""What whoever watches the job hears of a phase. Nobody knows how long a fetch takes, so the fractions only grow."""


class HeldPreparations:
    """For the agent's main thread. Threads that prepare post to its loop."""

    def __init__(
        self,
        slots: int,
        world: WorkerWorld,
        scratch: Scratch,
        loop: Loop,
        rules: PreparationRules,
        sender: ReportSender,
        heartbeat: HeartbeatTimer,
        join_again: Callable[[], None],
        stay_out: Callable[[str], None],
    ) -> None:
        self._world = world
        self._scratch = scratch
        self._loop = loop
        self._rules = rules
        self._sender = sender
        self._heartbeat = heartbeat
        self._join_again = join_again
        self._stay_out = stay_out
        self._queue: ActionQueue[WorkerAction] = ActionQueue(self._carry_out)
        waits = OutageWaits(self._on_wait)
        self._tools = PreparingTools(
            world.store, world.urls, VersionInputs(world.blobs), world.read_payload, waits, waits.apart()
        )
        self._threads = BackgroundThreads("preparations", slots)
        self._free_slots = list(range(slots))
        self._slot_of: dict[str, int] = {}
        self._times: dict[str, PreparationTime] = {}
        """Of the preparations on which a thread works."""

    # -- what the agent asks ----------------------------------------------------------------------------------------

    def follow(self, answer: Iterable[WorkerAction]) -> None:
        """Carry out what the rules answered, and all that follows from it."""
        self._queue.add(answer)

    def deadlines_s(self) -> list[float]:
        """Threads see to their time themselves."""
        return []

    def on_time(self, now_s: float) -> None:
        pass

    def look_at_disk(self) -> None:
        """Begin nothing on a full disk, and go on when there is room again."""
        is_full = self._scratch.free_bytes() < DISK_RESERVE_BYTES
        if is_full != self._rules.holding.is_disk_full:
            log.warning("the worker's disk is full: nothing begins") if is_full else log.info("the disk has room again")
            self._rules.holding.is_disk_full = is_full
            self._heartbeat.bring_forward(time.monotonic())
            self.follow(self._rules.go_on())

    def close(self) -> None:
        """End what is under way; nobody is told of it."""
        for each in self._times.values():
            each.abandon()
        gone_by_s = time.monotonic() + ENDING_S
        while self._times and time.monotonic() < gone_by_s:
            self._loop.turn(gone_by_s - time.monotonic())

    # -- what the rules answer --------------------------------------------------------------------------------------

    def _carry_out(self, action: WorkerAction) -> None:
        match action:
            case Say(report):
                metrics.reports[type(report)].inc()
                self._sender.queue.report(self._rules.session, report)
            case Begin(order):
                self._begin(order)
            case Abandon(preparation):
                self._times[preparation].abandon()
            case Sweep(preparation):
                self._sender.forget(preparation)
                self._scratch.clean(preparation)
            case Announce():
                self._heartbeat.bring_forward(time.monotonic())
            case ListVersions():
                self._sender.queue.list_versions()
            case JoinAgain():
                self._join_again()
            case StayOut(reason):
                self._stay_out(reason)

    def _begin(self, order: Prepare) -> None:
        preparation = order.preparation
        slot = self._slot_of[preparation] = self._free_slots.pop()
        time_left = self._times[preparation] = PreparationTime(order.timeout_ms / 1000)
        told = Told(
            lambda phase: self._loop.post(lambda: self._moved(order, phase)),
            lambda size: self._loop.post(lambda: self._holds(preparation, size)),
        )
        decoder = self._world.decoder_of(slot)

        def work() -> None:
            report = None
            try:
                folder = Path(self._scratch.new_attempt(preparation))
                report = PreparationWork(order, self._tools, decoder, folder, time_left, told).report()
            finally:
                self._loop.post(lambda: self._ended(preparation, report))

        self._threads.submit(work)

    # -- what threads tell, in the main thread ----------------------------------------------------------------------

    def _moved(self, order: Prepare, phase: PreparationPhase) -> None:
        held = self._rules.held.get(order.preparation)
        if held is not None and (phase > held.phase or phase is PreparationPhase.FETCHING):
            word, fraction = FRACTIONS[phase]
            self._sender.progress(order.job, order.preparation, fraction, word, is_phase=True)
        self.follow(self._rules.moved(order.preparation, phase))

    def _holds(self, preparation: str, size: int) -> None:
        before = self._rules.holding.reason
        self._rules.holding.keep(preparation, size, 0)
        self._note_change(before)

    def _ended(self, preparation: str, report: PreparationReport | None) -> None:
        self._free_slots.append(self._slot_of.pop(preparation))
        del self._times[preparation]
        before = self._rules.holding.reason
        self.follow(self._rules.ended(preparation, report))
        self._note_change(before)
        self.look_at_disk()

    # -- outages of ours --------------------------------------------------------------------------------------------

    def _on_wait(self, what: str, cause: str) -> None:
        """Called in any thread."""
        self._loop.post(lambda: self._note_wait(what, cause))

    def _note_wait(self, what: str, cause: str) -> None:
        before = self._rules.holding.reason
        self._rules.holding.note_wait(what, cause)
        self._note_change(before)

    def _note_change(self, before: str) -> None:
        after = self._rules.holding.reason
        if before != after:
            log.warning("the worker holds what it cannot fetch or store", waits_for=after or "nothing any more")
            self._heartbeat.bring_forward(time.monotonic())
            self.follow(self._rules.go_on())
