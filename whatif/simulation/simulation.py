"""A pool simulated through the real core: arrivals and machines in, `scheduling.decide` asked, starts and ends out.

Theory of operation. An queue holds what is still to come (ends of attempts, orders under way, moves of machines); the
arrivals lie sorted beside it. What happens leaves inputs in the inbox, and the inbox becomes a batch as it does in the
scheduler's host: at once, but no sooner than `batch_ms` after the batch before; and every 5 s while anything waits.
The events of a batch act on the simulated nodes. No Kafka, no clock, no randomness: the same arguments give the same
result, and `timer` only measures.

Heartbeats are said where they matter instead of every 5 s: when slots no longer hold what the scheduler believes, when
a node drains, and by every living node at the moment when the lease of a lost one lapses; leases lapse in no other
batch. That decides what heartbeats every 5 s would.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from math import ceil

import msgspec

from contract.batch import BATCH_INPUTS_MAX, ELAPSED_MAX_MS, GENESIS, TICK_MS
from contract.events import Event, JobDispatched, KillOrdered, RecallOrdered
from contract.inputs import Body, Input, NodeLeft, PolicyApplied, Submission, VersionPublished
from contract.policy import Policy, fingerprint
from scheduling.decide import Clock, Decision, decide, open_pool
from scheduling.evolve import begin, evolve, seal
from scheduling.state.pool import State, initial_state
from whatif.simulation.arrivals import Arrivals
from whatif.simulation.event_queue import NEVER, EventQueue, EventRank
from whatif.simulation.from_state import take_over
from whatif.simulation.machines import Fleet, FleetMove, Step
from whatif.simulation.nodes import Costs, SimulatedNode, Site

QUIET_TICKS_MAX = 120
"""When nothing more is to come and so many ticks in a row decide nothing, the jobs that still wait never start."""
DIGEST = "sha256:" + "0" * 64

Observer = Callable[[int, Sequence[Event]], None]
"""Shown each batch's time and events, after the nodes were."""


class Measured(msgspec.Struct):
    """Each batch as `timer` saw it: seconds of `decide`, and jobs queued before it."""

    seconds: array[float]
    queued: array[int]

    def p99_ms(self, queued_min: int = 0) -> float:
        """Of the batches before which at least so many jobs were queued; 0 when there was none."""
        times = sorted(took for took, queued in zip(self.seconds, self.queued, strict=True) if queued >= queued_min)
        return times[min(len(times) - 1, ceil(0.99 * len(times)) - 1)] * 1000 if times else 0.0


class Simulation:
    """One pool. `run` it, or `advance` it step by step; then read `site` (starts, ends, switches) and `measured`."""

    def __init__(
        self,
        policy: Policy,
        versions: Mapping[str, VersionPublished],
        arrivals: Arrivals,
        fleet: Fleet,
        *,
        pool: str = "main",
        said: Sequence[tuple[int, Body]] = (),
        state: State | None = None,
        costs: Costs = Costs(),
        batch_ms: int = 10,
        timer: Callable[[], float] | None = None,
        observer: Observer | None = None,
    ) -> None:
        """`versions` by the names that the arrivals have for them; `policy` from the beginning on; `said` is what else
        reaches the scheduler, and when. Of arrivals and versions more may come while it is advanced.

        It begins with no machine and no job, or where `state` says: the jobs that are open there are then the first
        arrivals, and those that run there run on. The state is the simulation's from now on."""
        self.policy, self.arrivals, self.fleet, self.costs = policy, arrivals, fleet, costs
        self.state = initial_state(pool) if state is None else state
        self.batches = self.dispatches = 0
        self.measured = Measured(array("d"), array("I"))
        self._batch_ms, self._timer, self._observer = batch_ms, timer, observer
        self._versions = versions
        self._models: list[str] = []
        """References to the versions of the models that have arrived, by the model's number."""
        self._digests: list[str] = []
        self._queue = EventQueue()
        self.site = Site(arrivals, self._digests, costs, self._queue, self._hear)
        self._numbers: dict[str, int] = {}
        """Of the jobs that have arrived, where the arrivals name them."""
        self._sessions: dict[str, int] = {}
        self._next = 0
        """Number of the next arrival."""
        self._inbox: list[tuple[int, Body | SimulatedNode]] = []
        self._first_ms = 0
        """When the first of the inbox was said."""
        self._offset = self.state.position
        self._unsettled = 0
        """Lost nodes whose lease has not lapsed."""
        self._caught_up = False
        self._beating = False
        self._quiet_ticks = self._queued = 0
        self._tick_ms = NEVER
        """When a batch is due without any input."""
        self.now_ms = self.state.now_ms
        self._begun = False
        for at_ms, body in said:
            self.hears(at_ms, body)
        for move in fleet.in_order():
            self.moves(move)

    def hears(self, at_ms: int, body: Body) -> None:
        """Somebody says this to the scheduler at that moment, which is not past."""
        self._queue.later(at_ms, EventRank.SAID, self._say, body)

    def moves(self, move: FleetMove) -> None:
        """A machine joins, leaves or is lost at a moment that is not past."""
        self._queue.later(move.at_ms, EventRank.MOVED, self._move, move)

    def forget(self, job: str) -> int:
        """The number of a named job that has ended: nothing will be asked of it again."""
        return self._numbers.pop(job)

    def start_ms_of(self, job: str) -> int:
        """The first start of a job that has arrived; -1: it has not started."""
        return self.site.start_ms[self._number(job)]

    def _begin(self, at_ms: int) -> None:
        """The scheduler opens the pool, and is told the policy."""
        state = self.state
        self.now_ms = max(state.now_ms, at_ms)
        clock = Clock(state.epoch + 1, state.seq + 1, self.now_ms, 0, False)
        opened = open_pool(state, "simulation", "simulation", clock)
        begin(state, clock.epoch, clock.seq, clock.now_ms, clock.elapsed_ms)
        for event in opened:
            evolve(state, event)
        self._say(self.now_ms, PolicyApplied(self.policy, fingerprint(self.policy)))
        if state.nodes or state.jobs:
            self._take_over()

    def _take_over(self) -> None:
        """The machines and jobs of the state it begins with."""
        for node in self.state.nodes.values():
            for version in node.loaded:
                self.arrivals.models.number(version)
        self._know_models(len(self.arrivals.models), self.now_ms)
        self._next = len(self.state.jobs)
        self._numbers = {self.arrivals.jobs[number]: number for number in range(self._next)}
        for idle in take_over(self.state, self.site, self.now_ms, self._numbers, self._left):
            self._left(self.now_ms, idle)

    # -- time ---------------------------------------------------------------------------------------------------

    def run(self) -> Simulation:
        """To the end: every job has ended, or those that still wait never start."""
        self.advance(NEVER)
        return self

    def advance(self, to_ms: int) -> bool:
        """Up to this moment; True when nothing more is to come."""
        queue, at_ms, count = self._queue, self.arrivals.at_ms, len(self.arrivals)
        if not self._begun:
            first_ms = self.state.now_ms or min(queue.next_ms, at_ms[0] if count else NEVER, NEVER >> 1)
            if first_ms > to_ms:
                return False
            self._begun = True
            self._begin(first_ms)
        while True:
            next_ms = queue.next_ms
            arrives_ms = at_ms[self._next] if self._next < count else NEVER
            soonest_ms = next_ms if next_ms <= arrives_ms else arrives_ms
            if self._inbox:
                batch_ms = max(self._first_ms, self.now_ms + self._batch_ms)
            else:
                batch_ms = self._tick_ms
            if batch_ms < soonest_ms:
                if batch_ms > to_ms:
                    return False
                self._batch(batch_ms)
                if self._quiet_ticks > QUIET_TICKS_MAX and soonest_ms == NEVER:
                    return True
            elif soonest_ms == NEVER:
                return True
            elif soonest_ms > to_ms:
                return False
            elif next_ms <= arrives_ms:
                queue.happen()
            else:
                self._arrive(arrives_ms)

    def queued(self) -> int:
        """Jobs that wait for a dispatch, since the last batch."""
        return self._queued

    # -- what happens -------------------------------------------------------------------------------------------

    def _arrive(self, at_ms: int) -> None:
        number, arrivals = self._next, self.arrivals
        self._next += 1
        model = arrivals.model[number]
        if model >= len(self._models):
            self._know_models(model + 1, at_ms)
        if arrivals.jobs:
            job = arrivals.jobs[number]
            self._numbers[job] = number
        else:
            job = f"{self.state.pool}-{number:032x}"
        tenant, tier = arrivals.tenants[arrivals.tenant[number]], arrivals.tiers[arrivals.tier[number]]
        self._say(at_ms, Submission(job, tenant, tier, self._models[model], DIGEST, "api"))

    def _know_models(self, count: int, at_ms: int) -> None:
        """The scheduler is told of a version when the first job of it comes."""
        for name in self.arrivals.models.names[len(self._models) : count]:
            version = self._versions[name]
            if version.version not in self._digests and version.version not in self.state.versions:
                self._say(at_ms, version)
            self._models.append(f"{version.model}@{version.version}")
            self._digests.append(version.version)

    def _move(self, at_ms: int, move: FleetMove) -> None:
        node = self.site.nodes.get(move.node)
        alive = node is not None and node.alive
        if move.machine is not None:
            if node is not None and alive:
                self.site.lose(at_ms, node)  # its process was started anew: the new session closes the old one's
            self._sessions[move.node] = life = self._sessions.get(move.node, 0) + 1
            joined = self.site.join(move.machine, f"{move.node}.{self.state.epoch}.{life}", self._left)
            self._say(at_ms, joined.joined())
        elif node is not None and alive and move.step is Step.LOSE:
            self.site.lose(at_ms, node)
            self._unsettled += 1
            self._tick_ms = min(self._tick_ms, at_ms + TICK_MS)  # so that lease time goes on
            lease_ms = (self.state.policy or self.policy).node_lease_ms
            self._queue.later(at_ms + lease_ms, EventRank.LAPSED, self._lapse, node)
        elif node is not None and alive and not node.draining:
            self.site.drain(at_ms, node)
            self._say(at_ms, node.heartbeat(self._digests))
            if node.is_idle:
                self._left(at_ms, node)

    def _left(self, at_ms: int, node: SimulatedNode) -> None:
        """A node that drained has nothing left."""
        node.alive = False
        self._say(at_ms, NodeLeft(node.machine.node, node.session))

    def _lapse(self, at_ms: int, lost: SimulatedNode) -> None:
        """All others were heard meanwhile; this batch gives the lost one up."""
        for node in self.site.nodes.values():
            if node.alive:
                self._say(at_ms, node.heartbeat(self._digests))
        self._unsettled -= 1
        self._caught_up = True
        if self.site.nodes.get(lost.machine.node) is lost:
            del self.site.nodes[lost.machine.node]
        if not self._inbox:
            self._first_ms = at_ms
            self._batch(max(at_ms, self.now_ms))

    def _beat(self, at_ms: int) -> None:
        self._beating = False
        for node in self.site.stale_loads.values():
            if node.alive:
                self._say(at_ms, node.heartbeat(self._digests))
        self.site.stale_loads.clear()

    def _say(self, at_ms: int, body: Body) -> None:
        if not self._inbox:
            self._first_ms = at_ms
        self._inbox.append((at_ms, body))

    def _hear(self, at_ms: int, node: SimulatedNode) -> None:
        """The node has reports: they go with the next batch, together with those it makes until then."""
        if not self._inbox:
            self._first_ms = at_ms
        self._inbox.append((at_ms, node))

    # -- batches ------------------------------------------------------------------------------------------------

    def _batch(self, now_ms: int) -> None:
        """Everything in the inbox, in records as long as they may be; the nodes hear each before the next."""
        inbox, self._inbox = self._inbox, []
        inputs = []
        for at_ms, said in inbox:
            body = said.report() if isinstance(said, SimulatedNode) else said
            inputs.append(Input(self._offset, at_ms, body))
            self._offset += 1
        busy = bool(inputs)
        while True:
            offered = inputs[:BATCH_INPUTS_MAX]
            decision = self._decide(now_ms, offered, self._caught_up and len(offered) == len(inputs))
            inputs = inputs[decision.taken :]
            busy = busy or bool(decision.events)
            if not inputs and not decision.is_full:
                break
        self._caught_up = False
        self._quiet_ticks = 0 if busy or self.state.resting else self._quiet_ticks + 1
        self._tick_ms = now_ms + TICK_MS if self._unsettled or self._queued else NEVER
        if self.site.stale_loads and not self._beating:
            self._beating = True
            self._queue.later(now_ms + TICK_MS, EventRank.BEAT, self._beat)

    def _decide(self, now_ms: int, inputs: list[Input], caught_up: bool) -> Decision:
        state, timer = self.state, self._timer
        elapsed_ms = min(now_ms - self.now_ms, ELAPSED_MAX_MS)
        self.now_ms = now_ms
        clock = Clock(state.epoch, state.seq + 1, now_ms, elapsed_ms, caught_up)
        if timer is None:
            decision = decide(state, inputs, clock)
        else:
            self.measured.queued.append(self._queued)
            began = timer()
            decision = decide(state, inputs, clock)
            self.measured.seconds.append(timer() - began)
        seal(state, GENESIS, state.seq, self._offset)
        self._queued = len(state.jobs)
        for cluster in state.clusters.values():
            self._queued -= len(cluster.open)
        self.batches += 1
        for event in decision.events:
            if isinstance(event, JobDispatched):
                self.dispatches += 1
                self._order(now_ms, self.site.take, event, self._number(event.job))
            elif isinstance(event, (RecallOrdered, KillOrdered)):
                job = state.jobs.get(event.job)
                if job is not None and job.open is not None and job.open.dispatch == event.dispatch:
                    act = self.site.recall if isinstance(event, RecallOrdered) else self.site.kill
                    self._order(now_ms, act, job.open.node, event.dispatch)
        if self._observer is not None:
            self._observer(now_ms, decision.events)
        return decision

    def _order(self, now_ms: int, act: Callable[..., None], *given: object) -> None:
        if self.costs.order_ms:
            self._queue.later(now_ms + self.costs.order_ms, EventRank.ORDERED, act, *given)
        else:
            act(now_ms, *given)

    def _number(self, job: str) -> int:
        return self._numbers[job] if self.arrivals.jobs else int(job[-32:], 16)
