"""The nodes of a simulation together: orders reach them, attempts start, run and end there, and reports come back.

Theory of operation. An order reaches its node `order_ms` after the batch that made the order. The attempt's inputs are
there `fetch_ms` later, fetched while the attempt is staged. The attempt starts in a slot that is free by then: a slot
with its version loaded if there is one, else an empty slot, else any. The attempt takes `switch_ms` more in a slot that
has another version or none: loading is part of the attempt, after its start, as in the product. The further ranks of a
gang hold their slots from the order on, and start with the first rank. Reports reach the scheduler with its next batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from contract.events import JobDispatched, Member
from contract.inputs import Report, Started, Stopped, Succeeded
from scheduling.state.nodes import Attempt
from whatif.simulation.arrivals import FOREVER_MS, Arrivals
from whatif.simulation.event_queue import EventQueue, EventRank
from whatif.simulation.machines import SPEED_ONE, Machine
from whatif.simulation.nodes import Costs, RankSlot, RunningAttempt, SimulatedNode, StagedAttempt

MANIFEST = "sha256:" + "0" * 64
"""Digest that every simulated result claims."""


class Site:
    """All nodes, and what became of each job there: its first start and its end, by the job's number."""

    def __init__(
        self,
        arrivals: Arrivals,
        versions: list[str],
        costs: Costs,
        queue: EventQueue,
        say: Callable[[int, SimulatedNode], None],
    ) -> None:
        """`versions` are the digests by number of the model; `say` is called with a node that has its first report for
        the next batch."""
        self._arrivals, self._versions, self._costs, self._queue = arrivals, versions, costs, queue
        self._say = say
        self.nodes: dict[str, SimulatedNode] = {}
        """Nodes that are alive, and lost nodes whose lease has not lapsed."""
        self.start_ms = arrivals.unset_column()
        """First start of each job; -1: it has not started."""
        self.end_ms = arrivals.unset_column()
        self.switches = 0
        self.busy_ms = 0
        """Slots times ms that attempts held; on lost nodes up to the loss."""
        self.stale_loads: dict[str, SimulatedNode] = {}
        """Nodes whose slots no longer have every version that the scheduler believes to be loaded."""

    # -- orders ---------------------------------------------------------------------------------------------

    def take(self, now_ms: int, event: JobDispatched, number: int) -> None:
        """A run order reached its node. A node that is gone, or has another session by now, does not hear the order."""
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
        rank_slots = self._take_rank_slots(node, event.members, event.dispatch) if event.members else ()
        node.staged[event.dispatch] = StagedAttempt(
            event.job, number, self._arrivals.model[number], now_ms + fetch_ms, rank_slots
        )
        if fetch_ms:
            self._queue.later(now_ms + fetch_ms, EventRank.READY, self.fill, node)
        else:
            self.fill(now_ms, node)

    def recall(self, now_ms: int, node_name: str, dispatch: str) -> None:
        """A recall reached its node. The attempt is given back if it has not started; a report of its start has crossed
        the recall otherwise."""
        node = self.nodes.get(node_name)
        staged = node.staged.pop(dispatch, None) if node is not None and node.alive else None
        if node is not None and staged is not None:
            self._free_rank_slots(now_ms, staged.rank_slots)
            self._report(now_ms, node, Stopped(staged.job, dispatch, "recalled"))

    def kill(self, now_ms: int, node_name: str, dispatch: str) -> None:
        """A kill reached its node: an attempt that runs there stops."""
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
        """An attempt's time is over: it succeeds, unless it was stopped or lost meanwhile."""
        if node.running[slot] is not run:
            return
        node.running[slot] = None
        node.free += 1
        self.end_ms[run.number] = now_ms
        self._free_rank_slots(now_ms, run.rank_slots)
        self._report(now_ms, node, Succeeded(run.job, run.dispatch, MANIFEST))
        if node.staged:
            self.fill(now_ms, node)
        self._leave_if_done(now_ms, node)

    def _leave_if_done(self, now_ms: int, node: SimulatedNode) -> None:
        if node.draining and node.alive and node.is_idle:
            node.left(now_ms, node)

    def fill(self, now_ms: int, node: SimulatedNode) -> None:
        """Free slots take the staged attempts that are ready, oldest first."""
        while node.free and node.staged and node.alive:
            dispatch, staged = next(iter(node.staged.items()))
            if staged.ready_ms > now_ms:
                return
            del node.staged[dispatch]
            self._start(node, dispatch, staged, now_ms)

    def _start(self, node: SimulatedNode, dispatch: str, staged: StagedAttempt, now_ms: int) -> None:
        slot = node.free_slot_for(staged.model)
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
        """A machine joins as a new node."""
        node = self.nodes[machine.node] = SimulatedNode(machine, session, left)
        return node

    def run_on(self, now_ms: int, attempt: Attempt, number: int) -> None:
        """The attempt has run on its node since its recorded start, with all its ranks. A state may have more attempts
        that started than its node has slots, because the end of one is not known yet: the later one begins anew when
        the slot is free."""
        node, model = self.nodes[attempt.node], self._arrivals.model[number]
        if not node.free:
            self.hold(now_ms, attempt, number)
            self.start_ms[number] = attempt.started_ms
            return
        rank_slots = self._take_rank_slots(node, attempt.members, attempt.dispatch)
        slot = node.free_slot_for(model)
        took_ms = self._arrivals.service_ms[number] * SPEED_ONE // node.machine.speed_permille
        run = RunningAttempt(
            attempt.job, number, attempt.dispatch, max(now_ms, attempt.started_ms + took_ms), rank_slots
        )
        node.loaded[slot] = model
        node.running[slot] = run
        node.free -= 1
        self.start_ms[number] = attempt.started_ms
        self.busy_ms += (run.ends_ms - now_ms) * (1 + len(rank_slots))
        if self._arrivals.service_ms[number] < FOREVER_MS:
            self._queue.later(run.ends_ms, EventRank.ENDED, self.finish, node, slot, run)

    def hold(self, now_ms: int, attempt: Attempt, number: int) -> None:
        """The attempt is staged on its node, with its inputs fetched."""
        node = self.nodes[attempt.node]
        rank_slots = self._take_rank_slots(node, attempt.members, attempt.dispatch)
        node.staged[attempt.dispatch] = StagedAttempt(
            attempt.job, number, self._arrivals.model[number], now_ms, rank_slots
        )

    def load(self, node: SimulatedNode, versions: Sequence[str]) -> None:
        """These versions are loaded: in slots of attempts that run, or in empty slots."""
        for version in versions:
            model = self._versions.index(version)
            if model not in node.loaded and -1 in node.loaded:
                node.loaded[node.loaded.index(-1)] = model

    def lose(self, now_ms: int, node: SimulatedNode) -> None:
        """The node says nothing any more and its attempts are gone. It stays in `nodes` until its lease lapses."""
        node.alive = False
        for slot in range(len(node.running)):
            self._stop(node, slot, now_ms)
        for staged in node.staged.values():
            self._free_rank_slots(now_ms, staged.rank_slots)
        node.staged.clear()

    def drain(self, now_ms: int, node: SimulatedNode) -> None:
        """The node takes no new work and hands back what is staged."""
        node.draining = True
        for dispatch, staged in list(node.staged.items()):
            self._free_rank_slots(now_ms, staged.rank_slots)
            self._report(now_ms, node, Stopped(staged.job, dispatch, "drained"))
        node.staged.clear()

    def _stop(self, node: SimulatedNode, slot: int, now_ms: int) -> None:
        """Ends whatever is in the slot, without a result. A gang that loses a rank ends on every node."""
        run = node.running[slot]
        if run is None:
            return
        node.running[slot] = None
        node.free += 1
        if isinstance(run, RunningAttempt):
            self.busy_ms -= (run.ends_ms - now_ms) * (1 + len(run.rank_slots))
            self._free_rank_slots(now_ms, run.rank_slots)
            return
        for other, held in enumerate(run.first.running):
            if isinstance(held, RunningAttempt) and run in held.rank_slots:
                self._stop(run.first, other, now_ms)
                self.fill(now_ms, run.first)  # nothing else happens there that would start what is staged
                self._leave_if_done(now_ms, run.first)

    # -- gangs --------------------------------------------------------------------------------------------------

    def _take_rank_slots(
        self, first: SimulatedNode, members: tuple[Member, ...], dispatch: str
    ) -> tuple[RankSlot, ...]:
        """Takes the slots of the further ranks: the scheduler sends a gang only where it knows slots to be free."""
        rank_slots = []
        for member in members:
            node = self.nodes.get(member.node)
            if node is not None and node.alive and node.session == member.session and node.free:
                rank_slot = RankSlot(node, node.running.index(None), first, dispatch)
                node.running[rank_slot.slot] = rank_slot
                node.free -= 1
                rank_slots.append(rank_slot)
        return tuple(rank_slots)

    def _free_rank_slots(self, now_ms: int, rank_slots: tuple[RankSlot, ...]) -> None:
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
