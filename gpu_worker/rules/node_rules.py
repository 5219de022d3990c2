"""The rules of a node: which orders the node obeys, and what follows from them. Pure: no clock, no thread, no I/O.

Theory of operation. The agent tells the rules what happened (an order, an ack, an attempt computed, a child halted)
through one method each, and carries out the actions that the rules answer, in order (`action_queue`). The rules
(design section 5):

- An order counts if it names this node and this session and its epoch is not lower than an epoch seen from that pool.
- Of one job, a Run whose dispatch is not greater than a dispatch seen is a repeat and changes nothing; a greater
  dispatch replaces what is held of that job.
- A Kill or Recall of an attempt that is not held is answered all the same, and its dispatch counts as seen, so that its
  Run, should the Run come late, does not run.
- An attempt launches only when the broker has acknowledged its Started.
- Every attempt that launched ends in exactly one last report, unless the attempt was replaced or its session is over.
- The ranks of a gang that this node has start in as many slots at once, and keep all of them until all are over: when
  one rank fails, the other ranks are halted and one Failed goes out. No attempt behind a gang takes a slot that the
  gang waits for.
- Only the node of rank 0 says Started and Succeeded. Any other node launches without asking. When its ranks have done
  their part, that node says nothing: it goes on listing the dispatch until a Kill comes, which the scheduler sends as
  soon as the attempt is over. Until then the gang may still be at work elsewhere, and a node that stopped listing the
  dispatch would be taken for a node that lost it.
- Nothing starts while the disk is full or results that wait for the object store have filled their budget: the slots
  are held, and no result is dropped (`holding`).
"""

from __future__ import annotations

from contract.bounds import HELD_MAX
from contract.inputs import AttemptReport, NodeHeartbeat, Started, Stopped, cached_digest
from contract.orders import Drain, Kill, Load, Order, Prepare, Recall, Refuse, Rejoin, Run, Tell
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
    LocalAttempt,
    LocalPhase,
    Prefetch,
    Say,
    StayOut,
    Unstore,
)
from gpu_worker.rules.node_slots import NodeSlots
from runtime.worker.rules.holding import Holding
from runtime.worker.rules.seen_orders import SeenOrders

_STAGED = (LocalPhase.FETCHING, LocalPhase.READY)


class NodeRules:
    """What one node holds. `slots` attempts run at a time; what more is held waits staged."""

    def __init__(self, node: str, session: str, slots: int, holding: Holding | None = None) -> None:
        self.node = node
        self.session = session
        self.draining = False
        self.held: dict[str, LocalAttempt] = {}
        """By dispatch, in the order they came."""
        self.cached: tuple[str, ...] = ()
        """Versions on this node's disk that the heartbeat lists, sorted."""
        self.held_max = min(4 * slots + 16, HELD_MAX)
        """Attempts the node may hold, running and staged."""
        self.holding = holding or Holding()
        """Whoever changes it asks `go_on` afterwards."""
        self._leaving = False
        self._slots = NodeSlots(slots)
        self._seen = SeenOrders()
        self._ready: dict[str, LocalAttempt] = {}
        """Attempts that wait for a slot, by dispatch, in the order in which they became ready."""

    # -- what is told ---------------------------------------------------------------------------------------------

    def take(self, order: Order) -> list[Action]:
        """An order came. Nothing follows from an order that does not count."""
        if order.node != self.node or order.session != self.session:
            return []
        if not self._seen.accept_epoch(order.pool, order.epoch):
            return []
        match order:
            case Run():
                return self._take_run(order)
            case Kill():
                return self._take_kill(order)
            case Recall():
                return self._take_recall(order)
            case Load():
                return [Prefetch(order.version, order.wheels_from_index)]
            case Drain():
                return self.drain()
            case Rejoin():
                return self._end_session()
            case Tell():
                return [ListVersions(), Announce()]
            case Refuse():
                return self._stay_out(order.reason)
            case Prepare():
                return []  # for nodes of another kind; the scheduler hears that this one does not list it

    def fetched(self, dispatch: str) -> list[Action]:
        """The attempt's payload and version are at hand."""
        attempt = self._in_phase(dispatch, LocalPhase.FETCHING)
        if attempt is None:
            return []
        attempt.phase = LocalPhase.READY
        self._ready[dispatch] = attempt
        return self._fill_slots()

    def acknowledged(self, dispatch: str) -> list[Action]:
        """The broker has the attempt's Started."""
        attempt = self._in_phase(dispatch, LocalPhase.STARTING)
        return [] if attempt is None else [self._launch(attempt)]

    def unsaid(self, dispatch: str) -> list[Action]:
        """The broker will never have the attempt's Started: the attempt cannot begin."""
        attempt = self._in_phase(dispatch, LocalPhase.STARTING)
        return [] if attempt is None else self._stop(attempt, "unclaimed")

    def loaded(self, slot: int, version: str) -> list[Action]:
        """The slot's child has this version loaded; empty: the slot has no version loaded any more."""
        return [Announce()] if self._slots.note_loaded(slot, version) else []

    def slot_lost(self, slot: int, unbegun: str) -> list[Action]:
        """The slot's child was killed and lives on, so nothing can run there. `unbegun`: the attempt that was to follow
        the child; empty: none. What the node can no longer run goes back as `unclaimed`, which counts no failure. (At
        `drained` the scheduler would drain the whole node.)"""
        self._slots.lose(slot)
        actions: list[Action] = [Announce()]
        for attempt in self._staged_first():
            if attempt.phase in _STAGED:
                is_over = len(attempt.run.ranks) > self._slots.usable
            else:
                is_starting = attempt.phase is LocalPhase.STARTING and slot in attempt.slots
                is_over = is_starting or attempt.run.dispatch == unbegun
            if is_over:
                actions += self._stop(attempt, "unclaimed")
        return actions

    def slot_regained(self, slot: int) -> list[Action]:
        """The lost slot's child has ended after all."""
        self._slots.regain(slot)
        return [Announce(), *self._fill_slots()]

    def computed(self, dispatch: str) -> list[Action]:
        """The child is done with the attempt and its slot is free; `ended` follows when all is stored."""
        attempt = self._in_phase(dispatch, LocalPhase.RUNNING)
        if attempt is not None:
            attempt.phase = LocalPhase.STORING
            self._free(attempt)
        return self._fill_slots()

    def given_back(self, dispatch: str) -> list[Action]:
        """The child is done with the attempt, which an outage of ours has ended: it counts against nobody, and rests
        before it is tried again."""
        attempt = self._in_phase(dispatch, LocalPhase.RUNNING)
        if attempt is None:
            return []
        if attempt.stop_reason is None:
            attempt.stop_reason = "unclaimed"
        return self._end_stopped(attempt)

    def go_on(self) -> list[Action]:
        """An outage of ours may have ended: start what may start now."""
        return self._fill_slots()

    def rank_over(self, dispatch: str, *, failed: bool) -> list[Action]:
        """One child of a gang is done with its rank. The agent keeps what came of the rank until Conclude."""
        attempt = self._in_phase(dispatch, LocalPhase.RUNNING, LocalPhase.HALTING)
        if attempt is None:
            return []
        if failed:
            attempt.failed = True
        return self._end_child(attempt)

    def ended(self, dispatch: str, report: AttemptReport) -> list[Action]:
        """All that was to be done for the attempt is done, and this is how it ended."""
        attempt = self.held.get(dispatch)
        if attempt is None:
            return []
        if attempt.stop_reason is None:
            return [*self._release(attempt), Say(report), *self._fill_slots()]
        return self._end_stopped(attempt)

    def halted(self, dispatch: str) -> list[Action]:
        """It is certain that the child computes the attempt no more."""
        attempt = self._in_phase(dispatch, LocalPhase.HALTING)
        return [] if attempt is None else self._end_child(attempt)

    def drain(self) -> list[Action]:
        """Take no new work and hand back what is staged; what runs may finish."""
        if self.draining:
            return []
        self.draining = True
        actions: list[Action] = [Announce()]
        for attempt in [attempt for attempt in self.held.values() if attempt.phase in _STAGED]:
            actions += self._stop(attempt, "drained")
        return actions

    def leave(self) -> list[Action]:
        """Drain for good: no order, not even a new session, makes this node take work again."""
        self._leaving = True
        return self.drain()

    def expel(self) -> list[Action]:
        """The time to drain is over: stop what still runs."""
        actions: list[Action] = []
        for attempt in self._staged_first():
            actions += self._stop(attempt, "drained")
        return actions

    def begin_session(self, session: str) -> None:
        """From here on orders to this session count, and no others."""
        self.session = session
        self.draining = self._leaving

    # -- what is asked --------------------------------------------------------------------------------------------

    def heartbeat(self) -> NodeHeartbeat:
        """What this node does now. True of the log only right after every report that was said before it."""
        running: list[str] = []
        staged: list[str] = []
        for dispatch, attempt in self.held.items():
            if attempt.stop_reason == "" or attempt.run.session != self.session:
                continue
            (staged if attempt.phase in _STAGED else running).append(dispatch)
        return NodeHeartbeat(
            self.node,
            self.session,
            tuple(running),
            tuple(staged),
            self._slots.loaded,
            self.cached,
            self.draining,
            cached_digest(self.cached),
            -1 if self._slots.usable == len(self._slots) else self._slots.usable,
            holding=self.holding.reason,
        )

    def is_running(self, dispatch: str) -> bool:
        """Whether the attempt's ranks are to be computed: not any more once one of them has failed."""
        return self._in_phase(dispatch, LocalPhase.RUNNING) is not None

    @property
    def idle(self) -> bool:
        return not self.held

    # -- orders ---------------------------------------------------------------------------------------------------

    def _take_run(self, run: Run) -> list[Action]:
        if not self._seen.accept_dispatch(run.job, run.dispatch):
            return []
        actions: list[Action] = []
        for attempt in [attempt for attempt in self.held.values() if attempt.run.job == run.job]:
            actions += self._stop(attempt, "")
        if self.draining:
            return [*actions, Say(Stopped(run.job, run.dispatch, "drained"))]
        if not 0 < len(run.ranks) <= self._slots.usable or self._holds_most():
            return [*actions, Say(Stopped(run.job, run.dispatch, "unclaimed"))]
        self.held[run.dispatch] = LocalAttempt(run)
        return [*actions, FetchSupplies(run)]

    def _take_kill(self, kill: Kill) -> list[Action]:
        attempt = self.held.get(kill.dispatch)
        if attempt is not None:
            return self._stop(attempt, "killed")
        self._seen.accept_dispatch(kill.job, kill.dispatch)
        return [Say(Stopped(kill.job, kill.dispatch, "killed"))]

    def _take_recall(self, recall: Recall) -> list[Action]:
        attempt = self.held.get(recall.dispatch)
        if attempt is not None:
            return self._stop(attempt, "recalled") if attempt.phase in _STAGED else []
        self._seen.accept_dispatch(recall.job, recall.dispatch)
        return [Say(Stopped(recall.job, recall.dispatch, "recalled"))]

    def _end_session(self) -> list[Action]:
        actions: list[Action] = []
        for attempt in self._staged_first():
            actions += self._stop(attempt, "")
        return [*actions, JoinAgain()]

    def _stay_out(self, reason: str) -> list[Action]:
        """The session was never open, so nobody expects a report. What still runs here is of a former session. No other
        order to the session counts: the answer to its first heartbeat, Rejoin, comes right behind."""
        actions: list[Action] = []
        for attempt in self._staged_first():
            actions += self._stop(attempt, "")
        self.session = ""
        return [*actions, StayOut(reason)]

    def _staged_first(self) -> list[LocalAttempt]:
        """The order in which to stop all attempts: a staged attempt must not take the slot of one that stopped."""
        return sorted(self.held.values(), key=lambda attempt: attempt.phase not in _STAGED)

    def _holds_most(self) -> bool:
        """Whether the node holds as many attempts as it can. An attempt that is only listed costs nothing, so such
        attempts count only towards what a heartbeat may list."""
        if len(self.held) < self.held_max:
            return False
        held_here = sum(attempt.phase is not LocalPhase.ELSEWHERE for attempt in self.held.values())
        return held_here >= self.held_max or len(self.held) >= HELD_MAX

    # -- what follows ---------------------------------------------------------------------------------------------

    def _in_phase(self, dispatch: str, *phases: LocalPhase) -> LocalAttempt | None:
        """The attempt, if the node holds it and it is in one of these phases: else what is told comes too late."""
        attempt = self.held.get(dispatch)
        return attempt if attempt is not None and attempt.phase in phases else None

    def _stop(self, attempt: LocalAttempt, reason: str) -> list[Action]:
        """End an attempt without a result, as soon as the end is certain.

        Keep the first reason, with one exception: an empty reason (the scheduler expects no report) always replaces
        it."""
        already = attempt.stop_reason is not None
        if not already or not reason:
            attempt.stop_reason = reason
        match attempt.phase:
            case LocalPhase.FETCHING | LocalPhase.READY | LocalPhase.STARTING | LocalPhase.ELSEWHERE:
                return self._end_stopped(attempt)
            case LocalPhase.RUNNING:
                return self._halt(attempt)
            case LocalPhase.STORING if not already:
                return [Unstore(attempt.run.dispatch)]
        return []

    def _end_stopped(self, attempt: LocalAttempt) -> list[Action]:
        said: list[Action] = []
        if attempt.stop_reason:
            said = [Say(Stopped(attempt.run.job, attempt.run.dispatch, attempt.stop_reason))]
        return [*self._release(attempt), *said, *self._fill_slots()]

    def _release(self, attempt: LocalAttempt) -> list[Action]:
        dispatch = attempt.run.dispatch
        self._free(attempt)
        self._ready.pop(dispatch, None)
        del self.held[dispatch]
        return [Forget(dispatch)]

    def _free(self, attempt: LocalAttempt) -> None:
        self._slots.free(attempt.slots)
        attempt.slots = ()

    def _launch(self, attempt: LocalAttempt) -> Launch:
        attempt.phase = LocalPhase.RUNNING
        attempt.busy = len(attempt.slots)
        return Launch(attempt.slots, attempt.run)

    def _halt(self, attempt: LocalAttempt) -> list[Action]:
        attempt.phase = LocalPhase.HALTING
        return [Halt(slot, attempt.run.dispatch) for slot in attempt.slots]

    def _end_child(self, attempt: LocalAttempt) -> list[Action]:
        """One of the attempt's children is done or halted. With the last child its slots are free."""
        attempt.busy -= 1
        if attempt.busy:
            return self._halt(attempt) if attempt.failed and attempt.phase is LocalPhase.RUNNING else []
        if attempt.stop_reason is not None:
            return self._end_stopped(attempt)
        self._free(attempt)
        if attempt.failed or 0 in attempt.run.ranks:
            attempt.phase = LocalPhase.STORING
            return [Conclude(attempt.run)]
        attempt.phase = LocalPhase.ELSEWHERE
        return [Forget(attempt.run.dispatch), *self._fill_slots()]

    def _fill_slots(self) -> list[Action]:
        """Give free slots to the attempts that are ready, the oldest first. An attempt that does not fit keeps those
        behind it waiting. Nothing starts while there is no room for what it would leave (`Holding`)."""
        actions: list[Action] = []
        while self._ready and self.holding.may_start:
            dispatch, attempt = next(iter(self._ready.items()))
            slots = self._slots.occupy(dispatch, attempt.run.version, len(attempt.run.ranks))
            if not slots:
                break
            del self._ready[dispatch]
            attempt.slots = slots
            if 0 in attempt.run.ranks:
                attempt.phase = LocalPhase.STARTING
                actions.append(Say(Started(attempt.run.job, dispatch)))
            else:
                actions.append(self._launch(attempt))
        return actions
