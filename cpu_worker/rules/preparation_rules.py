"""The rules of a CPU worker: which orders it obeys, and what follows from them. Pure: no clock, no thread, no I/O.

Theory of operation. The agent tells the rules what happened (an order, a phase that was reached, an end) through one
method each, and carries out the actions that the rules answer, in order. The rules (design section 5):

- An order counts if it names this worker and this session and its epoch is not lower than an epoch seen from that pool.
- Of one job, a Prepare whose preparation is not greater than one seen is a repeat and changes nothing, however often it
  comes; a greater one replaces what is held of that job.
- A Kill ends a preparation at once and nothing is reported: the scheduler has closed it already. A Kill of what is not
  held counts as seen, so that its Prepare, should that come late, does not begin.
- What was abandoned keeps its place until all that works on it has ended, and what is said of it then counts no more.
- A worker that drains takes nothing, gives back what has not begun, and lets what has begun finish.
- Nothing begins while the disk is full, or while files of preparations have filled their budget (`holding`).
- Heartbeats list every preparation that is held, and none of those that were abandoned: the scheduler sends the
  Prepare again of what it misses, and a Kill of what it does not know.

No report says that a preparation began: its order alone opens it, and its one report closes it.
"""

from __future__ import annotations

from contract.bounds import HELD_MAX
from contract.inputs import NodeHeartbeat, cached_digest
from contract.orders import Drain, Kill, Load, Order, Prepare, Recall, Refuse, Rejoin, Run, Tell
from contract.preparation_reports import PreparationReport, PreparationStopped
from cpu_worker.rules.actions import (
    Abandon,
    Announce,
    Begin,
    JoinAgain,
    ListVersions,
    LocalPreparation,
    PreparationPhase,
    Say,
    StayOut,
    Sweep,
    WorkerAction,
)
from runtime.worker.rules.holding import Holding
from runtime.worker.rules.seen_orders import SeenOrders

HELD_PER_SLOT = 2
"""The scheduler sends one for each slot (decision 0044). The second place is for an order that comes while what was
abandoned in the slot has not ended."""


class PreparationRules:
    """What one worker holds. `slots` preparations are under way at a time; what more is held waits."""

    def __init__(self, node: str, session: str, slots: int, holding: Holding | None = None) -> None:
        self.node = node
        self.session = session
        self.draining = False
        self.held: dict[str, LocalPreparation] = {}
        """By preparation, in the order they came."""
        self.cached: tuple[str, ...] = ()
        """A CPU worker lists no versions."""
        self.held_max = min(HELD_PER_SLOT * slots, HELD_MAX)
        """Preparations that the worker may hold, under way and waiting."""
        self.holding = holding or Holding()
        """Whoever changes it asks `go_on` afterwards."""
        self._slots = slots
        self._leaving = False
        self._seen = SeenOrders()
        self._abandoned: set[str] = set()
        """Preparations that are held no more and on which something still works."""

    # -- what is told ---------------------------------------------------------------------------------------------

    def take(self, order: Order) -> list[WorkerAction]:
        """An order came. Nothing follows from an order that does not count."""
        if order.node != self.node or order.session != self.session:
            return []
        if not self._seen.accept_epoch(order.pool, order.epoch):
            return []
        match order:
            case Prepare():
                return self._take_prepare(order)
            case Kill():
                return self._take_kill(order)
            case Drain():
                return self.drain()
            case Rejoin():
                return [*self._drop_all(""), JoinAgain()]
            case Refuse():
                actions = self._drop_all("")
                self.session = ""
                return [*actions, StayOut(order.reason)]
            case Tell():
                return [ListVersions(), Announce()]
            case Run() | Recall() | Load():
                return []  # for nodes of another kind

    def moved(self, preparation: str, phase: PreparationPhase) -> list[WorkerAction]:
        """The preparation has come so far."""
        held = self.held.get(preparation)
        if held is not None and held.phase is not PreparationPhase.WAITING:
            held.phase = max(held.phase, phase)
        return []

    def ended(self, preparation: str, report: PreparationReport | None) -> list[WorkerAction]:
        """Nothing works on the preparation any more, and this is what came of it. None: nothing; of a preparation that
        is held, an outage is said then, since the scheduler waits for a word."""
        swept = Sweep(preparation)
        self.holding.let_go(preparation)
        if preparation in self._abandoned:
            self._abandoned.discard(preparation)
            return [swept, *self._begin_next()]
        held = self.held.pop(preparation, None)
        if held is None:
            return []
        said = report or PreparationStopped(held.order.job, preparation, "outage")
        return [swept, Say(said), *self._begin_next()]

    def go_on(self) -> list[WorkerAction]:
        """An outage of ours may have ended: begin what may begin now."""
        return self._begin_next()

    def acknowledged(self, dispatch: str) -> list[WorkerAction]:
        """No report of a CPU worker asks for an answer."""
        return []

    def unsaid(self, dispatch: str) -> list[WorkerAction]:
        return []

    def drain(self) -> list[WorkerAction]:
        """Take no new work and give back what has not begun; what is under way may finish."""
        if self.draining:
            return []
        self.draining = True
        actions: list[WorkerAction] = [Announce()]
        for held in [held for held in self.held.values() if held.phase is PreparationPhase.WAITING]:
            actions += self._drop(held, "drained")
        return actions

    def leave(self) -> list[WorkerAction]:
        """Drain for good: no order, not even a new session, makes this worker take work again."""
        self._leaving = True
        return self.drain()

    def expel(self) -> list[WorkerAction]:
        """The time to drain is over: give back what is still under way."""
        return self._drop_all("drained")

    def begin_session(self, session: str) -> None:
        """From here on orders to this session count, and no others."""
        self.session = session
        self.draining = self._leaving

    # -- what is asked --------------------------------------------------------------------------------------------

    def heartbeat(self) -> NodeHeartbeat:
        """What this worker does now. True of the log only right after every report that was said before it."""
        running: list[str] = []
        staged: list[str] = []
        for preparation, held in self.held.items():
            (staged if held.phase is PreparationPhase.WAITING else running).append(preparation)
        return NodeHeartbeat(
            self.node,
            self.session,
            tuple(running),
            tuple(staged),
            (),
            self.cached,
            self.draining,
            cached_digest(self.cached),
            holding=self.holding.reason,
        )

    @property
    def idle(self) -> bool:
        return not self.held

    # -- orders ---------------------------------------------------------------------------------------------------

    def _take_prepare(self, order: Prepare) -> list[WorkerAction]:
        if not self._seen.accept_dispatch(order.job, order.preparation):
            return []
        actions: list[WorkerAction] = []
        for held in [held for held in self.held.values() if held.order.job == order.job]:
            actions += self._drop(held, "")
        if self.draining:
            return [*actions, Say(PreparationStopped(order.job, order.preparation, "drained"))]
        if len(self.held) + len(self._abandoned) >= self.held_max:
            return [*actions, Say(PreparationStopped(order.job, order.preparation, "unclaimed"))]
        self.held[order.preparation] = LocalPreparation(order)
        return [*actions, *self._begin_next()]

    def _take_kill(self, kill: Kill) -> list[WorkerAction]:
        held = self.held.get(kill.dispatch)
        if held is None:
            self._seen.accept_dispatch(kill.job, kill.dispatch)
            return []
        return [*self._drop(held, ""), *self._begin_next()]

    # -- what follows ---------------------------------------------------------------------------------------------

    def _drop_all(self, reason: str) -> list[WorkerAction]:
        return [action for held in list(self.held.values()) for action in self._drop(held, reason)]

    def _drop(self, held: LocalPreparation, reason: str) -> list[WorkerAction]:
        """Hold the preparation no more. Empty reason: the scheduler expects no report."""
        order = held.order
        del self.held[order.preparation]
        actions: list[WorkerAction] = []
        if held.phase is not PreparationPhase.WAITING:
            self._abandoned.add(order.preparation)
            actions.append(Abandon(order.preparation))
        if reason:
            actions.append(Say(PreparationStopped(order.job, order.preparation, reason)))
        return actions

    def _begin_next(self) -> list[WorkerAction]:
        """Begin the oldest of those that wait while a place is free."""
        actions: list[WorkerAction] = []
        waiting = [held for held in self.held.values() if held.phase is PreparationPhase.WAITING]
        places = self._slots - len(self._abandoned) - (len(self.held) - len(waiting))
        for held in waiting[: max(0, places)] if self.holding.may_start else ():
            held.phase = PreparationPhase.FETCHING
            actions.append(Begin(held.order))
        return actions
