"""The attempts that a node holds, from the order to the report: what the rules answer is carried out here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import structlog

from contract.inputs import AttemptReport
from contract.orders import Run
from gpu_worker.child.gang_room import GangRoom
from gpu_worker.child.slot import Slot
from gpu_worker.child.slot_stages import STRAYS_S
from gpu_worker.child.work import Work, rendezvous_here
from gpu_worker.io.checker_process import Checkers
from gpu_worker.io.disk_use import wrote_less_than
from gpu_worker.io.encoder_wall import EncoderWall
from gpu_worker.io.encoders import Encoders
from gpu_worker.io.prepared_inputs import PreparedFetcher
from gpu_worker.io.results import ResultsWriter
from gpu_worker.io.supplies import Supplies, SuppliesFetcher
from gpu_worker.rules.actions import (
    Action,
    Announce,
    Conclude,
    FetchSupplies,
    Forget,
    Halt,
    JoinAgain,
    Launch,
    ListVersions,
    Prefetch,
    Say,
    StayOut,
    Unstore,
)
from gpu_worker.rules.cached_versions import CachedVersions
from gpu_worker.rules.node_rules import NodeRules
from gpu_worker.rules.outcome import SCRATCH_FULL, ChildOutcome, Failure, of_rank
from gpu_worker.world import World
from runtime.worker import metrics
from runtime.worker.heartbeat import HeartbeatTimer
from runtime.worker.launch import launches_of
from runtime.worker.loop import Loop
from runtime.worker.node import NodeIdentity
from runtime.worker.outages import OutageWaits
from runtime.worker.report_sender import ReportSender
from runtime.worker.rules.action_queue import ActionQueue
from runtime.worker.rules.holding import DISK_RESERVE_BYTES
from runtime.worker.scratch import Scratch

log = structlog.get_logger(__name__)

ENDING_S = 3.0
"""How long a node that ends waits for its children, which it killed, to be gone."""


class HeldAttempts:
    """For the agent's main thread. Threads that fetch and store post to its loop.

    Slots tell this class what became of the attempts they were given (`loaded`, `progressed`, `done`, `halted`)."""

    def __init__(
        self,
        node: NodeIdentity,
        world: World,
        scratch: Scratch,
        loop: Loop,
        rules: NodeRules,
        sender: ReportSender,
        heartbeat: HeartbeatTimer,
        join_again: Callable[[], None],
        stay_out: Callable[[str], None],
    ) -> None:
        self._scratch = scratch
        self._loop = loop
        self._rules = rules
        self._sender = sender
        self._heartbeat = heartbeat
        self._join_again = join_again
        self._stay_out = stay_out
        self._queue = ActionQueue(self._carry_out)
        self._cached = CachedVersions(world.cached)
        rules.cached = self._cached.listed
        waits = OutageWaits(self._on_wait)
        media = PreparedFetcher(world.store, scratch, waits.apart(), world.input_bytes_max)
        self._fetcher = SuppliesFetcher(world.depot, world.read_payload, self._on_supplies, waits, media)
        self._checkers = Checkers()
        wall = None if world.confinement is None else EncoderWall(world.confinement)
        self._encoders = Encoders(world.encoder, world.encoding, scratch, wall, world.frames_bytes_max)
        self._results = ResultsWriter(
            world.store,
            scratch.open_outputs,
            self._checkers,
            self._on_stored,
            waits,
            self._encoders,
            self._on_encoded,
        )
        self._strays = world.strays
        self._slots = [
            Slot(launch, loop, scratch, self._strays, self, world.confinement)
            for launch in launches_of(node, world.environment, world.frames_bytes_max)
        ]
        self._confinement = world.confinement
        self._rooms: dict[str, GangRoom] = {}
        """By dispatch of a gang, until the attempt is forgotten."""
        self._supplies: dict[str, Supplies] = {}
        """By dispatch, from the time its payload and version are here until the attempt is forgotten."""
        self._verdicts: dict[str, ChildOutcome] = {}
        """Of gangs that still have ranks at work here: the failure for which the other ranks are halted, or what rank
        0 computed."""

    # -- what the agent asks --------------------------------------------------------------------------------------

    def follow(self, answer: Iterable[Action]) -> None:
        """Carry out what the rules answered, and all that follows from it."""
        self._queue.add(answer)

    @property
    def child_pids(self) -> list[int]:
        """Process id of each slot's child, 0 for none."""
        return [slot.pid for slot in self._slots]

    def deadlines_s(self) -> list[float]:
        """When slots have something to do (monotonic clock)."""
        return [slot.deadline_s for slot in self._slots if slot.deadline_s is not None]

    def on_time(self, now_s: float) -> None:
        """Have the slots do what is due."""
        for slot in self._slots:
            if slot.deadline_s is not None and slot.deadline_s <= now_s:
                slot.on_deadline()

    def close(self) -> None:
        """End the children and the checkers; nobody is told of the attempts that still ran."""
        for slot in self._slots:
            slot.kill()
        gone_by_s = time.monotonic() + ENDING_S
        alive = sum(not slot.close(max(0.0, gone_by_s - time.monotonic())) for slot in self._slots)
        if alive:
            log.error("left children that were killed and have not ended: a device holds them", children=alive)
        while self._strays.clear() and time.monotonic() < gone_by_s:
            time.sleep(STRAYS_S)
        self._fetcher.close()
        self._checkers.close()
        self._encoders.close()

    # -- what the rules answer ------------------------------------------------------------------------------------

    def _carry_out(self, action: Action) -> None:
        match action:
            case Say(report):
                metrics.reports[type(report)].inc()
                self._sender.queue.report(self._rules.session, report)
            case Launch(slots, run):
                self._launch(slots, run)
            case FetchSupplies(run):
                self._fetch(run)
            case Forget(dispatch):
                self._forget(dispatch)
            case Halt(slot, _):
                self._slots[slot].halt()
            case Conclude(run):
                self._report(run, self._verdicts.pop(run.dispatch))
            case Unstore(dispatch):
                self._results.abandon(dispatch)
            case Prefetch(version, wheels_from_index):
                self._fetcher.prefetch(
                    version, lambda: self._loop.post(self._note_fetched), wheels_from_index=wheels_from_index
                )
            case Announce():
                self._heartbeat.bring_forward(time.monotonic())
            case ListVersions():
                self._sender.queue.list_versions()
            case JoinAgain():
                self._join_again()
            case StayOut(reason):
                self._stay_out(reason)

    def _launch(self, slots: tuple[int, ...], run: Run) -> None:
        supplies = self._supplies[run.dispatch]
        if run.world == 1:
            self._slots[slots[0]].launch(Work(run, supplies))
            return
        rendezvous, room = run.rendezvous or rendezvous_here(), self._room(slots, run)
        for slot, rank in zip(slots, run.ranks, strict=True):
            if self._rules.is_running(run.dispatch):
                self._slots[slot].launch(Work(run, supplies, rank, rendezvous, room))
            else:  # the child of an earlier rank did not start; the Halt that follows will find nothing in this slot
                self.halted(slot, run)

    def _room(self, slots: tuple[int, ...], run: Run) -> GangRoom | None:
        """What the gang's ranks on this node share, where there can be such a thing."""
        if len(slots) == 1 or self._confinement is None or not self._confinement.has_rooms:
            return None
        self._rooms[run.dispatch] = GangRoom(slots)
        return self._rooms[run.dispatch]

    def _forget(self, dispatch: str) -> None:
        self._fetcher.forget(dispatch)
        self._supplies.pop(dispatch, None)
        self._verdicts.pop(dispatch, None)
        room = self._rooms.pop(dispatch, None)
        if room is not None:
            room.close()
        self._sender.forget(dispatch)
        self._scratch.clean(dispatch)

    # -- supplies -------------------------------------------------------------------------------------------------

    def _fetch(self, run: Run) -> None:
        supplies = self._fetcher.fetch(run)
        if supplies is not None:
            self._supply(run, supplies)

    def _on_supplies(self, dispatch: str, result: Supplies | Failure) -> None:
        """Called in any thread."""
        self._loop.post(lambda: self._supplied(dispatch, result))

    def _supplied(self, dispatch: str, result: Supplies | Failure) -> None:
        held = self._rules.held.get(dispatch)
        if held is None:
            return
        self._note_fetched()
        if isinstance(result, Failure):
            self._results.store_failure(held.run, result)
        else:
            self._supply(held.run, result)

    def _supply(self, run: Run, supplies: Supplies) -> None:
        self._cached.use(run.version)
        self._tell_cached()
        self._supplies[run.dispatch] = supplies
        self.follow(self._rules.fetched(run.dispatch))

    def _note_fetched(self) -> None:
        self._cached.add(self._fetcher.cached)
        self._tell_cached()

    def _tell_cached(self) -> None:
        if self._cached.listed != self._rules.cached:
            self._rules.cached = self._cached.listed
            self._heartbeat.bring_forward(time.monotonic())

    # -- what slots tell ------------------------------------------------------------------------------------------

    def loaded(self, slot: int, version: str) -> None:
        self.follow(self._rules.loaded(slot, version))

    def progressed(self, run: Run, fraction: float, message: str) -> None:
        self._sender.progress(run.job, run.dispatch, fraction, message)

    def done(self, slot: int, run: Run, outcome: ChildOutcome) -> None:
        is_our_disk = run.world == 1 and self._is_full_without(slot, run, outcome)
        self._scratch.clean_temporary(slot)
        if is_our_disk:
            log.warning("an attempt met a disk that others filled, and is given back", dispatch=run.dispatch)
            self.look_at_disk()
            self.follow(self._rules.given_back(run.dispatch))
            return
        if isinstance(outcome, Failure) and outcome.kind == "environment":
            self._fetcher.distrust(run.version)
        if run.world == 1:
            self._report(run, outcome)
        else:
            self._end_rank(slot, run, outcome)

    def halted(self, slot: int, run: Run) -> None:
        self._scratch.clean_temporary(slot)
        self.follow(self._rules.halted(run.dispatch))

    def _end_rank(self, slot: int, run: Run, outcome: ChildOutcome) -> None:
        rank = run.ranks[self._rules.held[run.dispatch].slots.index(slot)]
        if isinstance(outcome, Failure):
            self._verdicts[run.dispatch] = of_rank(outcome, rank, run.world)
        elif rank == 0:
            self._verdicts[run.dispatch] = outcome
        self.follow(self._rules.rank_over(run.dispatch, failed=isinstance(outcome, Failure)))

    def lost(self, slot: int, unbegun: str) -> None:
        self.follow(self._rules.slot_lost(slot, unbegun))

    def regained(self, slot: int) -> None:
        self.follow(self._rules.slot_regained(slot))

    # -- results --------------------------------------------------------------------------------------------------

    def _report(self, run: Run, outcome: ChildOutcome) -> None:
        """All ranks that this node has are done: store what came of them, then report how the attempt ended."""
        if run.prepared is not None:
            self._fetcher.forget(run.dispatch)
            self._scratch.clean_fetched(run.dispatch)
        report = self._results.at_once(run, outcome)
        if report is not None:
            self._ended(run.dispatch, report)
            return
        supplies = self._supplies[run.dispatch]
        self._rules.holding.keep(run.dispatch, *self._results.bytes_to_store(run, supplies, outcome))
        self._results.store(run, supplies, outcome)
        self.follow(self._rules.computed(run.dispatch))

    def _on_stored(self, dispatch: str, report: AttemptReport) -> None:
        """Called in any thread."""
        self._loop.post(lambda: self._ended(dispatch, report))

    def _on_encoded(self, dispatch: str, on_disk: int) -> None:
        """Called in any thread."""
        self._loop.post(lambda: self._keep_less(dispatch, on_disk))

    def _keep_less(self, dispatch: str, on_disk: int) -> None:
        """Pictures were encoded and deleted: there is room for what the next attempts leave."""
        self._rules.holding.keep_less(dispatch, on_disk)
        self.follow(self._rules.go_on())

    def _ended(self, dispatch: str, report: AttemptReport) -> None:
        self._rules.holding.let_go(dispatch)
        self.follow(self._rules.ended(dispatch, report))

    def _is_full_without(self, slot: int, run: Run, outcome: ChildOutcome) -> bool:
        """Whether the attempt failed because our disk is full, and not by what the attempt wrote: when it started there
        was room for DISK_RESERVE_BYTES, so others wrote the rest. That is an outage of ours and no failure of its
        job."""
        if not isinstance(outcome, Failure) or outcome.error != SCRATCH_FULL:
            return False
        if self._scratch.free_bytes() >= DISK_RESERVE_BYTES:
            return False
        places = self._scratch.attempt(run.dispatch), self._scratch.writing(slot), self._scratch.temporary(slot)
        return wrote_less_than(DISK_RESERVE_BYTES // 2, *places)

    # -- outages of ours ------------------------------------------------------------------------------------------

    def look_at_disk(self) -> None:
        """Start nothing on a full disk, and go on when there is room again."""
        is_full = self._scratch.free_bytes() < DISK_RESERVE_BYTES
        if is_full != self._rules.holding.is_disk_full:
            log.warning("the node's disk is full: nothing starts") if is_full else log.info("the disk has room again")
            self._rules.holding.is_disk_full = is_full
            self._heartbeat.bring_forward(time.monotonic())
            self.follow(self._rules.go_on())

    def _on_wait(self, what: str, cause: str) -> None:
        """Called in any thread."""
        self._loop.post(lambda: self._note_wait(what, cause))

    def _note_wait(self, what: str, cause: str) -> None:
        before = self._rules.holding.reason
        self._rules.holding.note_wait(what, cause)
        after = self._rules.holding.reason
        if before != after:
            log.warning("the node holds what it cannot fetch or store", waits_for=after or "nothing any more")
            self._heartbeat.bring_forward(time.monotonic())
