"""A pool simulated through the real core: arrivals and machines in, `scheduling.decide` asked, starts and ends out.

Theory of operation. The event queue holds what is still to come (ends of attempts, orders on their way, moves of
machines); the arrivals lie sorted beside the queue. What happens leaves undecided inputs, and undecided inputs become a
batch as they do in the scheduler's host: at once, but no sooner than `batch_ms` after the batch before; and every 5 s
while anything waits, less often after a day in which nothing was decided. The events of a batch act on the simulated
nodes. There is no Kafka, no clock and no randomness: the same arguments give the same result, and `timer` only
measures.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence

import msgspec

from contract.batch import BATCH_INPUTS_MAX, ELAPSED_MAX_MS, GENESIS, TICK_MS
from contract.events import Event, JobDispatched, KillOrdered, RecallOrdered, StartForecast
from contract.inputs import Body, Input, PolicyApplied, VersionPublished
from contract.policy import Policy, fingerprint
from scheduling.decide import Clock, Decision, decide, open_pool
from scheduling.evolve import begin, evolve, seal
from scheduling.state.pool import State, initial_state
from whatif.simulation.arrival_feed import ArrivalFeed
from whatif.simulation.arrivals import Arrivals
from whatif.simulation.event_queue import NEVER, EventQueue, EventRank
from whatif.simulation.from_state import take_over
from whatif.simulation.machine_moves import MachineMoves
from whatif.simulation.machines import Fleet, FleetMove, let_in
from whatif.simulation.measured import Measured
from whatif.simulation.nodes import Costs
from whatif.simulation.site import Site
from whatif.simulation.undecided_inputs import UndecidedInputs

QUIET_TICKS_MAX = 120
"""If nothing is to come and this many ticks in a row decide nothing, the jobs that still wait never start."""
RARE_TICKS_AFTER = 24 * 3_600_000 // TICK_MS
"""When ticks have decided nothing for a day, each comes twice as long after the last one as the one before. So jobs
that wait in a pool on hold while one attempt runs for years cost a bounded number of ticks, not one every 5 s."""

Observer = Callable[[int, Sequence[Event]], None]
"""Called with the time and the events of each batch, after the nodes have heard them."""


class Simulation:
    """One pool. `run` a simulation, or `advance` it step by step; then read `site` and `measured`."""

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
        """`versions` by the names that the arrivals have for them; `policy` is in force from the beginning; `said` is
        what else reaches the scheduler, and when. Arrivals and versions may be added while the simulation advances.

        The simulation begins with no machine and no job, or with `state`. The jobs that are open in the state are then
        the first arrivals, and attempts that run there run on. The simulation changes the state: do not use it."""
        self.policy, self.arrivals, self.fleet, self.costs = let_in(policy), arrivals, fleet, costs
        self.state = initial_state(pool) if state is None else state
        self.now_ms = self.state.now_ms
        self.batches = self.dispatches = 0
        self.measured = Measured(array("d"), array("I"))
        self._batch_ms, self._timer, self._observer = batch_ms, timer, observer
        self._queue = EventQueue()
        self._undecided = UndecidedInputs(self.state.position)
        self._feed = ArrivalFeed(arrivals, versions, self.state, self._undecided.say)
        self.site = Site(arrivals, self._feed.digests, costs, self._queue, self._undecided.say)
        self._machines = MachineMoves(
            self.site, self._queue, self.state, self._feed.digests, self._undecided.say, self._give_up
        )
        self._begun = self._caught_up = False
        self._quiet_ticks = self._queued = 0
        self._tick_ms = NEVER
        """When a batch is due without any input."""
        for at_ms, body in said:
            self.say(at_ms, body)
        for move in fleet.in_order():
            self.move(move)

    def say(self, at_ms: int, body: Body) -> None:
        """Somebody says this to the scheduler at that moment, which must not be past."""
        if isinstance(body, PolicyApplied):
            policy = let_in(body.policy)
            body = msgspec.structs.replace(body, policy=policy, fingerprint=fingerprint(policy))
        self._queue.later(at_ms, EventRank.SAID, self._undecided.say, body)

    def move(self, move: FleetMove) -> None:
        """A machine joins, leaves or is lost at a moment that must not be past."""
        self._queue.later(move.at_ms, EventRank.MOVED, self._move, move)

    def forget(self, job: str) -> int:
        """Forgets a named job that has ended, and returns its number. Nobody may ask for that job again."""
        return self._feed.forget(job)

    def start_ms_of(self, job: str) -> int:
        """The first start of a job that has arrived; -1: it has not started."""
        return self.site.start_ms[self._feed.number_of(job)]

    @property
    def queued(self) -> int:
        """Jobs that waited for a dispatch after the last batch."""
        return self._queued

    # -- time ---------------------------------------------------------------------------------------------------

    def run(self) -> Simulation:
        """Runs to the end: every job has ended, or the jobs that still wait never start. Those stay open in `state`."""
        self.advance(NEVER)
        return self

    def advance(self, to_ms: int) -> bool:
        """Runs up to this moment. True when nothing more is to come."""
        queue, feed, undecided = self._queue, self._feed, self._undecided
        if not self._begun:
            first_ms = self.state.now_ms or min(queue.next_ms, feed.next_ms, NEVER >> 1)
            if first_ms > to_ms:
                return False
            self._begun = True
            self._begin(first_ms)
        while True:
            next_ms, arrives_ms = queue.next_ms, feed.next_ms
            soonest_ms = next_ms if next_ms <= arrives_ms else arrives_ms
            if undecided.said:
                batch_ms = max(undecided.first_ms, self.now_ms + self._batch_ms)
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
                feed.submit_next(arrives_ms)

    def _begin(self, at_ms: int) -> None:
        """The scheduler opens the pool and is told the policy; machines and jobs of the state are taken over."""
        state = self.state
        self.now_ms = max(state.now_ms, at_ms)
        clock = Clock(state.epoch + 1, state.seq + 1, self.now_ms, 0, False)
        opened = open_pool(state, "simulation", "simulation", clock)
        begin(state, clock.epoch, clock.seq, clock.now_ms, clock.elapsed_ms)
        for event in opened:
            evolve(state, event)
        self._undecided.say(self.now_ms, PolicyApplied(self.policy, fingerprint(self.policy)))
        if state.nodes or state.jobs:
            numbers = self._feed.take_over(self.now_ms)
            for idle in take_over(state, self.site, self.now_ms, numbers, self._machines.left):
                self._machines.left(self.now_ms, idle)

    def _move(self, at_ms: int, move: FleetMove) -> None:
        if self._machines.move(at_ms, move, (self.state.policy or self.policy).node_lease_ms):
            self._tick_ms = min(self._tick_ms, at_ms + TICK_MS)  # lease time goes on only with batches

    def _give_up(self, at_ms: int) -> None:
        """A lease has lapsed and every living node was heard: this batch gives the lost node up."""
        self._caught_up = True
        if not self._undecided.said:
            self._batch(max(at_ms, self.now_ms))

    # -- batches ------------------------------------------------------------------------------------------------

    def _batch(self, now_ms: int) -> None:
        """Decides everything that was said, in records as long as they may be. The nodes hear the events of each
        record before the next record."""
        inputs = self._undecided.take()
        busy = bool(inputs)
        while True:
            offered = inputs[:BATCH_INPUTS_MAX]
            decision = self._decide(now_ms, offered, self._caught_up and len(offered) == len(inputs))
            inputs = inputs[decision.taken :]
            busy = busy or any(not isinstance(event, StartForecast) for event in decision.events)
            if not inputs and not (decision.is_full and decision.events):
                break
        self._caught_up = False
        self._quiet_ticks = 0 if busy or self.state.resting else self._quiet_ticks + 1
        tick_ms = TICK_MS << max(0, self._quiet_ticks - RARE_TICKS_AFTER)
        self._tick_ms = now_ms + tick_ms if self._machines.leases_running or self._queued else NEVER
        self._machines.beat_if_stale(now_ms)

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
        seal(state, GENESIS, state.seq, self._undecided.offset)
        self._queued = len(state.jobs)
        for cluster in state.clusters.values():
            self._queued -= len(cluster.open)
        self.batches += 1
        for event in decision.events:
            self._carry_out(now_ms, event)
        if self._observer is not None:
            self._observer(now_ms, decision.events)
        return decision

    def _carry_out(self, now_ms: int, event: Event) -> None:
        """Sends the order that the event makes, if it makes one."""
        if isinstance(event, JobDispatched):
            self.dispatches += 1
            self._send_order(now_ms, self.site.take, event, self._feed.number_of(event.job))
        elif isinstance(event, (RecallOrdered, KillOrdered)):
            job = self.state.jobs.get(event.job)
            if job is not None and job.open is not None and job.open.dispatch == event.dispatch:
                act = self.site.recall if isinstance(event, RecallOrdered) else self.site.kill
                self._send_order(now_ms, act, job.open.node, event.dispatch)

    def _send_order(self, now_ms: int, act: Callable[..., None], *given: object) -> None:
        if self.costs.order_ms:
            self._queue.later(now_ms + self.costs.order_ms, EventRank.ORDERED, act, *given)
        else:
            act(now_ms, *given)
