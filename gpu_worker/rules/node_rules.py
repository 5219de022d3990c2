"""The rules of a node: which orders it takes, and what follows from them. Pure: no clock, no thread, no I/O.

Theory of operation. The agent brings in what happened (an order, an ack, an attempt computed, a child halted) through
one method each and carries out the actions that come back, in order. The rules (design section 5):

- An order counts if it names this node and this session and its epoch is not lower than one seen from that pool.
- Of one job, a Run whose dispatch is not greater than one seen is a repeat and changes nothing; a greater one
  replaces what is held of that job.
- A Kill or Recall of what is not held is answered all the same, and its dispatch counts as seen, so that its Run,
  should it come late, does not run.
- An attempt launches only when the broker has acknowledged its Started.
- Every attempt that launched ends in exactly one last report, unless it was replaced or its session is over.
- The ranks of a gang that this node has start in as many slots at once, and keep all of them until all are over: when
  one fails, the others are halted and one Failed goes out. Nothing behind it takes a slot that a gang waits for.
- Only the node of rank 0 says Started and Succeeded. Another launches without asking, and when its ranks have done
  their part it says nothing: it goes on listing the dispatch until a Kill comes, which the scheduler sends as soon as
  the attempt is over. Until then the gang may still be at work elsewhere, and a node that stopped listing it would be
  taken for one that lost it.
"""

from __future__ import annotations

from collections import OrderedDict

from contract.bounds import HELD_MAX
from contract.inputs import NodeHeartbeat, Report, Started, Stopped
from contract.names import dispatch_order
from contract.orders import Drain, Kill, Load, Order, Recall, Rejoin, Run
from gpu_worker.rules.actions import (
    Action,
    Announce,
    Conclude,
    FetchSupplies,
    Forget,
    Halt,
    JoinAgain,
    Launch,
    LocalAttempt,
    LocalPhase,
    Prefetch,
    Say,
    Unstore,
)

SEEN_MAX = 100_000
"""Jobs of which the node remembers the greatest dispatch. Repeats come soon, so the oldest may be forgotten."""

_STAGED = (LocalPhase.FETCHING, LocalPhase.READY)


class NodeRules:
    """What one node holds. `slots` attempts run at a time; what more is held waits staged."""

    def __init__(self, node: str, session: str, slots: int) -> None:
        self.node = node
        self.session = session
        self.draining = False
        self.held: dict[str, LocalAttempt] = {}
        """By dispatch id, in the order they came."""
        self.cached: tuple[str, ...] = ()
        """Versions on this node's disk to tell of, sorted."""
        self.held_max = min(4 * slots + 16, HELD_MAX)
        """Attempts it may hold, running and staged."""
        self._leaving = False
        self._slot_holder: list[str] = [""] * slots
        self._slot_version: list[str] = [""] * slots
        self._latest: OrderedDict[str, tuple[int, int, int]] = OrderedDict()
        self._epochs: dict[str, int] = {}
        self._ready: dict[str, LocalAttempt] = {}

    # -- what is told ---------------------------------------------------------------------------------------------

    def take(self, order: Order) -> list[Action]:
        """An order came. Nothing follows from one that does not count."""
        if order.node != self.node or order.session != self.session:
            return []
        if order.epoch < self._epochs.get(order.pool, 0):
            return []
        self._epochs[order.pool] = order.epoch
        match order:
            case Run():
                return self._take_run(order)
            case Kill():
                return self._take_kill(order)
            case Recall():
                return self._take_recall(order)
            case Load():
                return [Prefetch(order.version)]
            case Drain():
                return self.drain()
            case Rejoin():
                return self._end_session()

    def fetched(self, dispatch: str) -> list[Action]:
        """The attempt's payload and version are at hand."""
        held = self.held.get(dispatch)
        if held is None or held.phase is not LocalPhase.FETCHING:
            return []
        held.phase = LocalPhase.READY
        self._ready[dispatch] = held
        return self._fill_slots()

    def acknowledged(self, dispatch: str) -> list[Action]:
        """The broker has the attempt's Started."""
        held = self.held.get(dispatch)
        if held is None or held.phase is not LocalPhase.STARTING:
            return []
        return [self._launch(held)]

    def loaded(self, slot: int, version: str) -> list[Action]:
        """The slot's child has this version loaded; empty: it has none any more."""
        if self._slot_version[slot] == version:
            return []
        self._slot_version[slot] = version
        return [Announce()]

    def unsaid(self, dispatch: str) -> list[Action]:
        """The broker will never have the attempt's Started: it cannot begin."""
        held = self.held.get(dispatch)
        if held is None or held.phase is not LocalPhase.STARTING:
            return []
        return self._stop(held, "unclaimed")

    def computed(self, dispatch: str) -> list[Action]:
        """The child is done with the attempt and its slot is free; `ended` follows when all is stored."""
        held = self.held.get(dispatch)
        if held is None or held.phase is not LocalPhase.RUNNING:
            return []
        held.phase = LocalPhase.STORING
        self._free(held)
        return self._fill_slots()

    def rank_over(self, dispatch: str, *, failed: bool) -> list[Action]:
        """One child of a gang is done with its rank. What came of it is kept by the agent until Conclude."""
        held = self.held.get(dispatch)
        if held is None or held.phase not in (LocalPhase.RUNNING, LocalPhase.HALTING):
            return []
        if failed:
            held.failed = True
        return self._one_over(held)

    def ended(self, dispatch: str, report: Report) -> list[Action]:
        """All that was to be done for the attempt is done, and this is how it ended."""
        held = self.held.get(dispatch)
        if held is None:
            return []
        if held.stop_reason is None:
            return [*self._release(held), Say(report), *self._fill_slots()]
        return self._stopped(held)

    def halted(self, dispatch: str) -> list[Action]:
        """It is certain that the child computes the attempt no more."""
        held = self.held.get(dispatch)
        if held is None or held.phase is not LocalPhase.HALTING:
            return []
        return self._one_over(held)

    def is_running(self, dispatch: str) -> bool:
        """Whether its ranks are to be computed: not so any more once one of them has failed."""
        held = self.held.get(dispatch)
        return held is not None and held.phase is LocalPhase.RUNNING

    def drain(self) -> list[Action]:
        """Take no new work and hand back what is staged; what runs may finish."""
        if self.draining:
            return []
        self.draining = True
        actions: list[Action] = [Announce()]
        for held in [h for h in self.held.values() if h.phase in _STAGED]:
            actions += self._stop(held, "drained")
        return actions

    def leave(self) -> list[Action]:
        """Drain for good: no order, not even a new session, makes this node take work again."""
        self._leaving = True
        return self.drain()

    def expel(self) -> list[Action]:
        """The time to drain is over: stop what still runs."""
        actions: list[Action] = []
        for held in self._staged_first():
            actions += self._stop(held, "drained")
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
        for dispatch, held in self.held.items():
            if held.stop_reason == "" or held.run.session != self.session:
                continue
            (staged if held.phase in _STAGED else running).append(dispatch)
        return NodeHeartbeat(
            self.node,
            self.session,
            tuple(running),
            tuple(staged),
            tuple(sorted({version for version in self._slot_version if version})),
            self.cached,
            self.draining,
        )

    @property
    def idle(self) -> bool:
        return not self.held

    # -- orders ---------------------------------------------------------------------------------------------------

    def _take_run(self, run: Run) -> list[Action]:
        if not self._is_news(run.job, run.dispatch):
            return []
        actions: list[Action] = []
        for held in [h for h in self.held.values() if h.run.job == run.job]:
            actions += self._stop(held, "")
        if self.draining:
            return [*actions, Say(Stopped(run.job, run.dispatch, "drained"))]
        if not 0 < len(run.ranks) <= len(self._slot_holder) or self._holds_most():
            return [*actions, Say(Stopped(run.job, run.dispatch, "unclaimed"))]
        self.held[run.dispatch] = LocalAttempt(run)
        return [*actions, FetchSupplies(run)]

    def _take_kill(self, kill: Kill) -> list[Action]:
        held = self.held.get(kill.dispatch)
        if held is not None:
            return self._stop(held, "killed")
        self._is_news(kill.job, kill.dispatch)
        return [Say(Stopped(kill.job, kill.dispatch, "killed"))]

    def _take_recall(self, recall: Recall) -> list[Action]:
        held = self.held.get(recall.dispatch)
        if held is not None:
            return self._stop(held, "recalled") if held.phase in _STAGED else []
        self._is_news(recall.job, recall.dispatch)
        return [Say(Stopped(recall.job, recall.dispatch, "recalled"))]

    def _end_session(self) -> list[Action]:
        actions: list[Action] = []
        for held in self._staged_first():
            actions += self._stop(held, "")
        return [*actions, JoinAgain()]

    def _staged_first(self) -> list[LocalAttempt]:
        """In the order to stop them all: what is staged must not take the slot of what stopped."""
        return sorted(self.held.values(), key=lambda held: held.phase not in _STAGED)

    def _is_news(self, job: str, dispatch: str) -> bool:
        """Whether the dispatch is greater than every one seen of this job; it is seen from now on."""
        if not job:  # a Kill of what the scheduler does not know may not know its job
            return False
        try:
            order = dispatch_order(dispatch)
        except ValueError:
            return False
        latest = self._latest.get(job)
        if latest is not None and order <= latest:
            return False
        self._latest[job] = order
        self._latest.move_to_end(job)
        if len(self._latest) > SEEN_MAX:
            self._latest.popitem(last=False)
        return True

    # -- what follows ---------------------------------------------------------------------------------------------

    def _stop(self, held: LocalAttempt, reason: str) -> list[Action]:
        """End an attempt without a result, as soon as that is certain. The first reason stands, but that nobody
        waits for a report (an empty one) is learnt from the latest word."""
        already = held.stop_reason is not None
        if not already or not reason:
            held.stop_reason = reason
        match held.phase:
            case LocalPhase.FETCHING | LocalPhase.READY | LocalPhase.STARTING:
                return self._stopped(held)
            case LocalPhase.RUNNING:
                return self._halt(held)
            case LocalPhase.STORING if not already:
                return [Unstore(held.run.dispatch)]
            case LocalPhase.ELSEWHERE:
                return self._stopped(held)
        return []

    def _stopped(self, held: LocalAttempt) -> list[Action]:
        said: list[Action] = []
        if held.stop_reason:
            said = [Say(Stopped(held.run.job, held.run.dispatch, held.stop_reason))]
        return [*self._release(held), *said, *self._fill_slots()]

    def _release(self, held: LocalAttempt) -> list[Action]:
        dispatch = held.run.dispatch
        self._free(held)
        self._ready.pop(dispatch, None)
        del self.held[dispatch]
        return [Forget(dispatch)]

    def _free(self, held: LocalAttempt) -> None:
        for slot in held.slots:
            self._slot_holder[slot] = ""
        held.slots = ()

    def _launch(self, held: LocalAttempt) -> Launch:
        held.phase = LocalPhase.RUNNING
        held.busy = len(held.slots)
        return Launch(held.slots, held.run)

    def _halt(self, held: LocalAttempt) -> list[Action]:
        held.phase = LocalPhase.HALTING
        return [Halt(slot, held.run.dispatch) for slot in held.slots]

    def _one_over(self, held: LocalAttempt) -> list[Action]:
        """One of its children is done or halted. With the last one its slots are free."""
        held.busy -= 1
        if held.busy:
            return self._halt(held) if held.failed and held.phase is LocalPhase.RUNNING else []
        if held.stop_reason is not None:
            return self._stopped(held)
        self._free(held)
        if held.failed or 0 in held.run.ranks:
            held.phase = LocalPhase.STORING
            return [Conclude(held.run), *self._fill_slots()]
        held.phase = LocalPhase.ELSEWHERE
        return [Forget(held.run.dispatch), *self._fill_slots()]

    def _holds_most(self) -> bool:
        """Whether it holds as much as it can: what it only lists costs nothing, up to what a heartbeat may list."""
        if len(self.held) < self.held_max:
            return False
        held_here = sum(held.phase is not LocalPhase.ELSEWHERE for held in self.held.values())
        return held_here >= self.held_max or len(self.held) >= HELD_MAX

    def _fill_slots(self) -> list[Action]:
        """Give free slots to what is ready, the oldest first and none before it, in slots that suit it best."""
        actions: list[Action] = []
        while self._ready:
            free = [slot for slot, holder in enumerate(self._slot_holder) if not holder]
            dispatch, held = next(iter(self._ready.items()))
            if len(free) < len(held.run.ranks):
                break
            del self._ready[dispatch]
            held.slots = self._best(free, held.run)
            for slot in held.slots:
                self._slot_holder[slot] = dispatch
            if 0 in held.run.ranks:
                held.phase = LocalPhase.STARTING
                actions.append(Say(Started(held.run.job, dispatch)))
            else:
                actions.append(self._launch(held))
        return actions

    def _best(self, free: list[int], run: Run) -> tuple[int, ...]:
        """Slots with the version loaded, then those with none loaded, then any; the lowest of those. A gang has
        children of its own, so there no slot has its version loaded."""
        loaded = self._slot_version
        order = sorted(free, key=lambda slot: (loaded[slot] != run.version, loaded[slot] != "", slot))
        return tuple(order[: len(run.ranks)])
