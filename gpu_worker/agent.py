"""The node agent: brings what happens to the desk and does what the desk says.

All of it runs in the main thread's loop but the waiting: one thread reads orders, one hears the producer's acks, a
few fetch payloads and versions and store results. They post to the loop; what they post is carried out in turn.
"""

from __future__ import annotations

import time
import uuid

import structlog

from contract.inputs import NodeJoined, NodeLeft, Report
from contract.orders import Order, Run
from gpu_worker.child.gang import rendezvous_here
from gpu_worker.child.slot import Slot, Work
from gpu_worker.io.checker_process import Checkers
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
    Prefetch,
    Say,
    Unstore,
)
from gpu_worker.rules.cached_versions import CachedVersions
from gpu_worker.rules.node_rules import NodeRules
from gpu_worker.rules.outcome import ChildOutcome, Failure, of_rank
from gpu_worker.world import OrderSource, World
from runtime.kafka import Delivery
from runtime.worker import metrics
from runtime.worker.launch import launches_of
from runtime.worker.loop import Loop
from runtime.worker.node import NodeIdentity
from runtime.worker.report_sender import ReportSender
from runtime.worker.scratch import Scratch

log = structlog.get_logger(__name__)

ANNOUNCE_EVERY_S = 0.25
"""Heartbeats that news bring forward are at least this far apart."""

LAST_WORDS_S = 10.0
"""How long a node that leaves waits for the broker to take its last reports."""

ENDING_S = 3.0
"""How long it waits for its children to be gone, which were killed."""

STORE_PATIENCE_S = 300.0
"""How long results and versions wait for an object store that is away, before the attempt fails."""


class Agent:
    def __init__(
        self,
        node: NodeIdentity,
        world: World,
        scratch: Scratch,
        *,
        heartbeat_ms: int,
        store_patience_s: float = STORE_PATIENCE_S,
    ) -> None:
        self._node = node
        self._world = world
        self._scratch = scratch
        self._heartbeat_s = heartbeat_ms / 1000
        self._loop = Loop()
        self._rules = NodeRules(node.name, _new_session(), node.slots)
        self._cached = CachedVersions(world.cached)
        self._rules.cached = self._cached.listed
        self._sender = ReportSender(node, world.producer, self._on_delivery)
        self._supplies_fetcher = SuppliesFetcher(world.depot, world.read_payload, self._on_supplies, store_patience_s)
        self._checkers = Checkers()
        self._results = ResultsWriter(
            world.store, scratch.open_outputs, self._checkers, self._on_stored, store_patience_s
        )
        self._slots = [Slot(seat, self._loop, scratch, self) for seat in launches_of(node, world.environment)]
        self._supplies: dict[str, Supplies] = {}
        self._verdicts: dict[str, ChildOutcome] = {}
        """Of gangs whose ranks are not all over: the failure (the rest is halted upon it), or what rank 0 computed."""
        self._orders: OrderSource | None = None
        self._joined = False
        self._heartbeat_at_s = 0.0
        self._heard_at_s = 0.0
        self._signals = 0
        self._expel_at_s: float | None = None
        self._give_up_at_s: float | None = None

    # -- from other threads ---------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Once: drain and leave. Twice: leave at once. Any thread, or a signal handler."""
        self._loop.post(self._on_signal)

    def positioned(self, session: str) -> None:
        self._loop.post(lambda: self._join(session))

    def ordered(self, orders: list[Order]) -> None:
        self._loop.post(lambda: self._take(orders))

    def _on_supplies(self, dispatch: str, result: Supplies | Failure) -> None:
        self._loop.post(lambda: self._supplied(dispatch, result))

    def _on_stored(self, dispatch: str, report: Report) -> None:
        self._loop.post(lambda: self._ended(dispatch, report))

    def _on_delivery(self, result: Delivery | Exception) -> None:
        self._loop.post(lambda: self._delivered(result))

    # -- the main thread ------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Work until stopped. Exit status: 0, or 1 when reports were left that the broker did not take."""
        self._open_session()
        while not self._is_over():
            self._loop.turn(self._wait_s())
            self._on_time(time.monotonic())
            self._sender.send_next()
        return self._end()

    @property
    def turns(self) -> int:
        """How often its loop has turned: at least once a heartbeat, else it hangs. Any thread may look."""
        return self._loop.turns

    @property
    def child_pids(self) -> list[int]:
        """Process id of each slot's child, 0 for none."""
        return [slot.pid for slot in self._slots]

    def _wait_s(self) -> float:
        """Until something is due, at most a heartbeat's time: an order's time limit may lie centuries off, and a
        watchdog counts the turns."""
        now_s = time.monotonic()
        moments = [now_s + self._heartbeat_s]
        moments += [slot.deadline_s for slot in self._slots if slot.deadline_s is not None]
        moments += [m for m in (self._sender.again_at_s, self._expel_at_s, self._give_up_at_s) if m is not None]
        if self._joined:
            moments.append(self._heartbeat_at_s)
        return max(0.0, min(moments) - now_s)

    def _on_time(self, now_s: float) -> None:
        for slot in self._slots:
            if slot.deadline_s is not None and slot.deadline_s <= now_s:
                slot.on_deadline()
        if self._sender.again_at_s is not None and self._sender.again_at_s <= now_s:
            self._sender.send_again()
        if self._joined and self._heartbeat_at_s <= now_s:
            self._heartbeat_at_s = now_s + self._heartbeat_s
            if self._sender.queue.wants_heartbeat:
                self._heard_at_s = now_s
                self._sender.queue.heartbeat(self._rules.heartbeat())
        if self._expel_at_s is not None and self._expel_at_s <= now_s:
            self._expel_at_s = None
            self._do(self._rules.expel())

    # -- session --------------------------------------------------------------------------------------------------

    def _open_session(self) -> None:
        if self._orders is not None:
            self._orders.stop()
        self._joined = False
        self._orders = self._world.open_orders(self._rules.session, self)
        self._orders.start()

    def _join(self, session: str) -> None:
        if session != self._rules.session or self._joined:
            return
        node = self._node
        self._joined = True
        self._heartbeat_at_s = time.monotonic()
        self._sender.queue.say(
            NodeJoined(
                node.name,
                session,
                node.cluster,
                node.chipset,
                node.slots,
                node.gpus,
                node.memory_mib,
                self._rules.cached,
                node.address,
                self._rules.held_max,
            )
        )
        log.info("joining", cluster=node.cluster, node=node.name, session=session, slots=node.slots)

    def _on_signal(self) -> None:
        now_s = time.monotonic()
        self._signals += 1
        if self._signals == 1:
            log.info("draining", held=len(self._rules.held), grace_s=self._node.drain_grace_s)
            self._expel_at_s = now_s + self._node.drain_grace_s
            self._do(self._rules.leave())
        else:
            self._expel_at_s = now_s
            self._give_up_at_s = now_s + LAST_WORDS_S

    def _is_over(self) -> bool:
        """Whether all is handed back and said; from the time all is handed back, only so long is waited for."""
        if self._signals == 0:
            return False
        now_s = time.monotonic()
        if self._rules.idle:
            if self._give_up_at_s is None:
                self._give_up_at_s = now_s + LAST_WORDS_S
            if self._joined:
                self._joined = False
                self._sender.queue.say(NodeLeft(self._node.name, self._rules.session))
                self._sender.send_next()
            if not len(self._sender.queue):
                return True
        return self._give_up_at_s is not None and self._give_up_at_s <= now_s

    def _end(self) -> int:
        if self._orders is not None:
            self._orders.stop()
        for slot in self._slots:
            slot.kill()
        gone_by_s = time.monotonic() + ENDING_S
        alive = sum(not slot.close(max(0.0, gone_by_s - time.monotonic())) for slot in self._slots)
        if alive:
            log.error("left children that were killed and have not ended: a device holds them", children=alive)
        left = len(self._sender.queue)
        self._checkers.close()
        self._scratch.close()
        if left:
            log.error("left with reports that the broker did not take; the lease will free the jobs", records=left)
        else:
            log.info("left")
        return 1 if left else 0

    # -- orders and actions ---------------------------------------------------------------------------------------

    def _delivered(self, result: Delivery | Exception) -> None:
        settled = self._sender.delivered(result)
        for dispatch in settled.acknowledged:
            self._do(self._rules.acknowledged(dispatch))
        for dispatch in settled.unsaid:
            self._do(self._rules.unsaid(dispatch))

    def _take(self, orders: list[Order]) -> None:
        for order in orders:
            self._do(self._rules.take(order))

    def _do(self, actions: list[Action]) -> None:
        """Carry the actions out in order; what follows at once from one comes before the next."""
        for action in actions:
            match action:
                case Say(report):
                    metrics.reports[type(report)].inc()
                    self._sender.queue.report(self._rules.session, report)
                case Launch(slots, run) if run.world == 1:
                    self._slots[slots[0]].launch(Work(run, self._supplies[run.dispatch]))
                case Launch(slots, run):
                    self._launch_gang(slots, run)
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
                case Prefetch(version):
                    self._supplies_fetcher.prefetch(version, lambda: self._loop.post(self._note_fetched))
                case Announce():
                    self._announce()
                case JoinAgain():
                    self._join_again()

    def _join_again(self) -> None:
        log.warning("the scheduler does not know this session: joining again", session=self._rules.session)
        metrics.sessions.inc()
        self._rules.begin_session(_new_session())
        self._open_session()

    def _announce(self) -> None:
        """Bring the next heartbeat forward."""
        self._heartbeat_at_s = min(self._heartbeat_at_s, max(time.monotonic(), self._heard_at_s + ANNOUNCE_EVERY_S))

    def _fetch(self, run: Run) -> None:
        supplies = self._supplies_fetcher.fetch(run)
        if supplies is not None:
            self._supply(run, supplies)

    def _supplied(self, dispatch: str, result: Supplies | Failure) -> None:
        held = self._rules.held.get(dispatch)
        if held is None:
            return
        self._note_fetched()
        if isinstance(result, Failure):
            self._results.store(held.run, None, result)
        else:
            self._supply(held.run, result)

    def _supply(self, run: Run, supplies: Supplies) -> None:
        self._cached.use(run.version)
        self._note_shelf()
        self._supplies[run.dispatch] = supplies
        self._do(self._rules.fetched(run.dispatch))

    def _launch_gang(self, slots: tuple[int, ...], run: Run) -> None:
        supplies = self._supplies[run.dispatch]
        rendezvous = run.rendezvous or rendezvous_here()
        for slot, rank in zip(slots, run.ranks, strict=True):
            if self._rules.is_running(run.dispatch):
                self._slots[slot].launch(Work(run, supplies, rank, rendezvous))
            else:  # a rank before it could not even be started, and its Halt found nothing to stop in this slot
                self.halted(slot, run)

    def _note_fetched(self) -> None:
        self._cached.add(self._supplies_fetcher.cached)
        self._note_shelf()

    def _note_shelf(self) -> None:
        if self._cached.listed != self._rules.cached:
            self._rules.cached = self._cached.listed
            self._announce()

    def _forget(self, dispatch: str) -> None:
        self._supplies_fetcher.forget(dispatch)
        self._supplies.pop(dispatch, None)
        self._verdicts.pop(dispatch, None)
        self._sender.forget(dispatch)
        self._scratch.clean(dispatch)

    # -- what slots tell ------------------------------------------------------------------------------------------

    def loaded(self, slot: int, version: str) -> None:
        self._do(self._rules.loaded(slot, version))

    def progressed(self, run: Run, fraction: float, message: str) -> None:
        self._sender.progress(run, fraction, message)

    def done(self, slot: int, run: Run, outcome: ChildOutcome) -> None:
        self._scratch.clean_temporary(slot)
        if isinstance(outcome, Failure) and outcome.kind == "environment":
            self._supplies_fetcher.distrust(run.version)
        if run.world == 1:
            self._report(run, outcome)
        else:
            self._rank_over(slot, run, outcome)

    def _rank_over(self, slot: int, run: Run, outcome: ChildOutcome) -> None:
        rank = run.ranks[self._rules.held[run.dispatch].slots.index(slot)]
        if isinstance(outcome, Failure):
            self._verdicts[run.dispatch] = of_rank(outcome, rank, run.world)
        elif rank == 0:
            self._verdicts[run.dispatch] = outcome
        self._do(self._rules.rank_over(run.dispatch, failed=isinstance(outcome, Failure)))

    def _report(self, run: Run, outcome: ChildOutcome) -> None:
        """All that was computed of the attempt here is: tell how it ended, once that is stored."""
        report = self._results.at_once(run, outcome)
        if report is not None:
            self._ended(run.dispatch, report)
            return
        self._results.store(run, self._supplies[run.dispatch], outcome)
        self._do(self._rules.computed(run.dispatch))

    def halted(self, slot: int, run: Run) -> None:
        self._scratch.clean_temporary(slot)
        self._do(self._rules.halted(run.dispatch))

    def _ended(self, dispatch: str, report: Report) -> None:
        self._do(self._rules.ended(dispatch, report))


def _new_session() -> str:
    return uuid.uuid4().hex
