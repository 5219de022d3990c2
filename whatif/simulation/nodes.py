"""Nodes of a simulation: they stage what they are sent, start it when a slot is free, and report, as gpu_worker does.

Theory of operation. An order reaches its node `order_ms` after the batch that made it; its inputs are there `fetch_ms`
later, fetched while it is staged; it starts in a slot that is free by then: one with its version loaded if there is
one, else an empty one, else any. It takes `switch_ms` more when the slot has another version or none: the load is part
of the attempt, after its start, as in the product. The further ranks of a gang hold their slots from its order on, and
start with the first. Reports reach the scheduler with its next batch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from contract.events import JobDispatched, Member
from contract.inputs import NodeHeartbeat, NodeJoined, NodeReport, Report, Started, Stopped, Succeeded
from scheduling.state.nodes import Attempt
from whatif.simulation.arrivals import Arrivals
from whatif.simulation.event_queue import EventQueue, EventRank
from whatif.simulation.machines import SPEED_ONE, Machine

RENDEZVOUS_PORT = 29_500
"""Every simulated node can be reached from there on: any may run rank 0 of a gang."""
MANIFEST = "sha256:" + "0" * 64
"""Digest that every simulated result claims."""


class Costs(msgspec.Struct, frozen=True):
    """What moving work about costs, in ms."""

    switch_ms: int = 0
    """Loading a version into a slot that has another one, or none."""
    order_ms: int = 0
    """From a decision to its order at the node."""
    fetch_ms: int = 0
    """Fetching the inputs of an attempt, while it is staged."""


class StagedAttempt:
    __slots__ = ("job", "model", "number", "rank_slots", "ready_ms")

    def __init__(self, job: str, number: int, model: int, ready_ms: int, rank_slots: tuple[RankSlot, ...]) -> None:
        self.job, self.number, self.model, self.ready_ms, self.rank_slots = job, number, model, ready_ms, rank_slots


class RunningAttempt:
    __slots__ = ("dispatch", "ends_ms", "job", "number", "rank_slots")

    def __init__(self, job: str, number: int, dispatch: str, ends_ms: int, rank_slots: tuple[RankSlot, ...]) -> None:
        self.job, self.number, self.dispatch, self.ends_ms, self.rank_slots = job, number, dispatch, ends_ms, rank_slots


class RankSlot:
    """The slot of one more rank of a gang: taken from the order on, given back when rank 0's attempt is over."""

    __slots__ = ("dispatch", "first", "node", "slot")

    def __init__(self, node: SimulatedNode, slot: int, first: SimulatedNode, dispatch: str) -> None:
        self.node, self.slot, self.first, self.dispatch = node, slot, first, dispatch


class SimulatedNode:
    """One machine, from its join to its end. `reports` go with the next batch."""

    __slots__ = (
        "alive",
        "cached",
        "draining",
        "free",
        "left",
        "loaded",
        "machine",
        "reports",
        "running",
        "session",
        "staged",
    )

    def __init__(self, machine: Machine, session: str, left: Callable[[int, SimulatedNode], None]) -> None:
        self.machine = machine
        self.session = session
        self.left = left
        self.alive = True
        self.draining = False
        self.loaded: list[int] = [-1] * machine.slots
        """Number of the version in each slot."""
        self.running: list[RunningAttempt | RankSlot | None] = [None] * machine.slots
        self.free = machine.slots
        self.staged: OrderedDict[str, StagedAttempt] = OrderedDict()
        """By dispatch, in the order they came."""
        self.cached = set(machine.cached)
        self.reports: list[Report] = []

    @property
    def is_idle(self) -> bool:
        return self.free == self.machine.slots and not self.staged

    def joined(self) -> NodeJoined:
        machine = self.machine
        return NodeJoined(
            machine.node,
            self.session,
            machine.cluster,
            machine.chipset,
            machine.slots,
            machine.gpus,
            machine.memory_mib,
            tuple(sorted(self.cached)),
            f"{machine.node}:{RENDEZVOUS_PORT}",
            machine.holds_most,
        )

    def heartbeat(self, versions: list[str]) -> NodeHeartbeat:
        return NodeHeartbeat(
            self.machine.node,
            self.session,
            tuple(run.dispatch for run in self.running if run is not None),
            tuple(self.staged),
            tuple(sorted({versions[model] for model in self.loaded if model >= 0})),
            tuple(sorted(self.cached)),
            self.draining,
        )

    def report(self) -> NodeReport:
        """All reports that are ready, as one record."""
        said = NodeReport(self.machine.node, self.session, tuple(self.reports))
        self.reports.clear()
        return said


class Site:
    """All nodes, and what became of each job there."""

    def __init__(
        self,
        arrivals: Arrivals,
        versions: list[str],
        costs: Costs,
        queue: EventQueue,
        say: Callable[[int, SimulatedNode], None],
    ) -> None:
        self._arrivals, self._versions, self._costs, self._queue = arrivals, versions, costs, queue
        self._say = say
        """Told of a node that has its first report for the next batch."""
        self.nodes: dict[str, SimulatedNode] = {}
        """Those alive, and those lost whose lease has not lapsed."""
        self.start_ms = arrivals.unset_column()
        """First start of each job; -1: none."""
        self.end_ms = arrivals.unset_column()
        self.switches = 0
        self.busy_ms = 0
        """Slots times ms that attempts held, those of lost nodes up to the loss."""
        self.stale_loads: dict[str, SimulatedNode] = {}
        """Nodes whose slots no longer have all that the scheduler thinks they have."""

    # -- what comes ---------------------------------------------------------------------------------------------

    def take(self, now_ms: int, event: JobDispatched, number: int) -> None:
        """A run order reached its node. One that is gone, or another session of it, does not hear it."""
        node = self.nodes.get(event.node)
        if node is None or not node.alive or node.session != event.session:
            return
        if node.draining:
            self._report(now_ms, node, Stopped(event.job, event.dispatch, "drained"))
            return
        if len(node.staged) + node.machine.slots - node.free >= node.machine.holds_most:
            self._report(now_ms, node, Stopped(event.job, event.dispatch, "unclaimed"))
            return
        fetch_ms = self._costs.fetch_ms
        rank_slots = self._rank_slots(node, event.members, event.dispatch) if event.members else ()
        node.staged[event.dispatch] = StagedAttempt(
            event.job, number, self._arrivals.model[number], now_ms + fetch_ms, rank_slots
        )
        if fetch_ms:
            self._queue.later(now_ms + fetch_ms, EventRank.READY, self.fill, node)
        else:
            self.fill(now_ms, node)

    def recall(self, now_ms: int, node_name: str, dispatch: str) -> None:
        """Given back if it has not started; else the report of its start has crossed the recall."""
        node = self.nodes.get(node_name)
        staged = node.staged.pop(dispatch, None) if node is not None and node.alive else None
        if node is not None and staged is not None:
            self._give_back(now_ms, staged.rank_slots)
            self._report(now_ms, node, Stopped(staged.job, dispatch, "recalled"))

    def kill(self, now_ms: int, node_name: str, dispatch: str) -> None:
        node = self.nodes.get(node_name)
        if node is None or not node.alive:
            return
        for slot, run in enumerate(node.running):
            if isinstance(run, RunningAttempt) and run.dispatch == dispatch:
                self._stop(node, slot, now_ms)
                self._report(now_ms, node, Stopped(run.job, dispatch, "killed"))
                self.fill(now_ms, node)
                self._leave_if_done(now_ms, node)
                return

    def finish(self, now_ms: int, node: SimulatedNode, slot: int, run: RunningAttempt) -> None:
        """An attempt's time is over, unless it was stopped or lost meanwhile."""
        if node.running[slot] is not run:
            return
        node.running[slot] = None
        node.free += 1
        self.end_ms[run.number] = now_ms
        self._give_back(now_ms, run.rank_slots)
        self._report(now_ms, node, Succeeded(run.job, run.dispatch, MANIFEST))
        if node.staged:
            self.fill(now_ms, node)
        self._leave_if_done(now_ms, node)

    def _leave_if_done(self, now_ms: int, node: SimulatedNode) -> None:
        if node.draining and node.alive and node.is_idle:
            node.left(now_ms, node)

    def fill(self, now_ms: int, node: SimulatedNode) -> None:
        """Free slots take what is staged and ready, oldest first."""
        while node.free and node.staged and node.alive:
            dispatch, staged = next(iter(node.staged.items()))
            if staged.ready_ms > now_ms:
                return
            del node.staged[dispatch]
            self._start(node, dispatch, staged, now_ms)

    def _start(self, node: SimulatedNode, dispatch: str, staged: StagedAttempt, now_ms: int) -> None:
        slot = _slot_for(node, staged.model)
        took_ms = self._arrivals.service_ms[staged.number] * SPEED_ONE // node.machine.speed_permille
        if node.loaded[slot] != staged.model:
            if node.loaded[slot] >= 0 and node.machine.slots > 1:
                self.stale_loads[node.machine.node] = node
            node.loaded[slot] = staged.model
            node.cached.add(self._versions[staged.model])
            self.switches += 1
            took_ms += self._costs.switch_ms
        if self.start_ms[staged.number] < 0:
            self.start_ms[staged.number] = now_ms
        run = RunningAttempt(staged.job, staged.number, dispatch, now_ms + took_ms, staged.rank_slots)
        node.running[slot] = run
        node.free -= 1
        self.busy_ms += took_ms * (1 + len(staged.rank_slots))
        self._report(now_ms, node, Started(staged.job, dispatch))
        self._queue.later(run.ends_ms, EventRank.ENDED, self.finish, node, slot, run)

    # -- nodes --------------------------------------------------------------------------------------------------

    def join(self, machine: Machine, session: str, left: Callable[[int, SimulatedNode], None]) -> SimulatedNode:
        """`left` is called when the node has drained and has nothing left."""
        node = self.nodes[machine.node] = SimulatedNode(machine, session, left)
        return node

    def run_on(self, now_ms: int, attempt: Attempt, number: int) -> None:
        """The attempt has run there since its start, with all its ranks."""
        node, model = self.nodes[attempt.node], self._arrivals.model[number]
        rank_slots = self._rank_slots(node, attempt.members, attempt.dispatch)
        slot = _slot_for(node, model)
        took_ms = self._arrivals.service_ms[number] * SPEED_ONE // node.machine.speed_permille
        run = RunningAttempt(
            attempt.job, number, attempt.dispatch, max(now_ms, attempt.started_ms + took_ms), rank_slots
        )
        node.loaded[slot] = model
        node.running[slot] = run
        node.free -= 1
        self.start_ms[number] = attempt.started_ms
        self.busy_ms += (run.ends_ms - now_ms) * (1 + len(rank_slots))
        self._queue.later(run.ends_ms, EventRank.ENDED, self.finish, node, slot, run)

    def hold(self, now_ms: int, attempt: Attempt, number: int) -> None:
        """The attempt is staged there, its inputs fetched."""
        node = self.nodes[attempt.node]
        rank_slots = self._rank_slots(node, attempt.members, attempt.dispatch)
        node.staged[attempt.dispatch] = StagedAttempt(
            attempt.job, number, self._arrivals.model[number], now_ms, rank_slots
        )

    def load(self, node: SimulatedNode, versions: Sequence[str]) -> None:
        """These are loaded: in slots of attempts that run, or in empty ones."""
        for version in versions:
            model = self._versions.index(version)
            if model not in node.loaded and -1 in node.loaded:
                node.loaded[node.loaded.index(-1)] = model

    def lose(self, now_ms: int, node: SimulatedNode) -> None:
        """No word any more; it is in `nodes` until its lease lapses."""
        node.alive = False
        for slot in range(len(node.running)):
            self._stop(node, slot, now_ms)
        for staged in node.staged.values():
            self._give_back(now_ms, staged.rank_slots)
        node.staged.clear()

    def drain(self, now_ms: int, node: SimulatedNode) -> None:
        """No new work; what is staged is handed back."""
        node.draining = True
        for dispatch, staged in list(node.staged.items()):
            self._give_back(now_ms, staged.rank_slots)
            self._report(now_ms, node, Stopped(staged.job, dispatch, "drained"))
        node.staged.clear()

    def _stop(self, node: SimulatedNode, slot: int, now_ms: int) -> None:
        """Whatever is in the slot is over, without a result. A gang that loses a rank is over on every node."""
        run = node.running[slot]
        if run is None:
            return
        node.running[slot] = None
        node.free += 1
        if isinstance(run, RunningAttempt):
            self.busy_ms -= (run.ends_ms - now_ms) * (1 + len(run.rank_slots))
            self._give_back(now_ms, run.rank_slots)
            return
        for other, held in enumerate(run.first.running):
            if isinstance(held, RunningAttempt) and run in held.rank_slots:
                self._stop(run.first, other, now_ms)

    # -- gangs --------------------------------------------------------------------------------------------------

    def _rank_slots(self, first: SimulatedNode, members: tuple[Member, ...], dispatch: str) -> tuple[RankSlot, ...]:
        """Slots of the further ranks: the scheduler sends a gang only where it knows them to be free."""
        rank_slots = []
        for member in members:
            node = self.nodes.get(member.node)
            if node is not None and node.alive and node.session == member.session and node.free:
                rank_slot = RankSlot(node, node.running.index(None), first, dispatch)
                node.running[rank_slot.slot] = rank_slot
                node.free -= 1
                rank_slots.append(rank_slot)
        return tuple(rank_slots)

    def _give_back(self, now_ms: int, rank_slots: tuple[RankSlot, ...]) -> None:
        for rank_slot in rank_slots:
            if rank_slot.node.running[rank_slot.slot] is rank_slot:
                rank_slot.node.running[rank_slot.slot] = None
                rank_slot.node.free += 1
                self.fill(now_ms, rank_slot.node)
                self._leave_if_done(now_ms, rank_slot.node)

    def _report(self, now_ms: int, node: SimulatedNode, report: Report) -> None:
        if not node.reports:
            self._say(now_ms, node)
        node.reports.append(report)


def _slot_for(node: SimulatedNode, model: int) -> int:
    """A free slot with the version loaded, else one with none loaded, else any; the lowest of those."""
    best, best_rank = -1, 3
    for slot, run in enumerate(node.running):
        if run is None:
            loaded = node.loaded[slot]
            rank = 0 if loaded == model else 1 if loaded < 0 else 2
            if rank < best_rank:
                best, best_rank = slot, rank
    return best
