"""A candidate policy beside the policy in force: it takes a pool's ledger and says what it would have done.

Theory of operation. A simulation begins with the state that the pool had when the shadow began, and is told the
candidate as if an operator had applied it then. What the ledger says later reaches the simulation as what-if reads it
from a finished ledger (`recorded.Recorder`): machines, drains, and each job with the run time of its successful attempt
(`ledger_jobs`). A job has a run time only once it has ended, so the shadow's clock stays before the submission of the
first job that has not ended: the shadow goes a bounded time behind the ledger. The clock also stays before the last
word of every node, because that node may turn out to be lost since then, and a little behind the ledger, so that
nothing comes too late.

A shadow holds only what is open. What has ended in the shadow is forgotten; the log has what it did.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from contract.batch import Batch
from contract.events import AttemptStarted, Event, JobDispatched
from contract.inputs import CancelRequested
from contract.lifecycle import ENDINGS
from contract.policy import Policy
from contract.shadows import ShadowDispatch, ShadowStart
from scheduling.state.pool import State
from whatif.compare import check_covers
from whatif.recorded import Recorder
from whatif.shadow import first_state
from whatif.shadow.ledger_jobs import LedgerJobs
from whatif.shadow.log import ShadowLog
from whatif.shadow.rolling_arrivals import RollingArrivals
from whatif.simulation.event_queue import NEVER
from whatif.simulation.machines import Fleet
from whatif.simulation.nodes import Costs
from whatif.simulation.simulation import Simulation

SETTLED_MS = 10_000
"""This long after a moment, everything that was said then is in a batch that had caught up: two ticks of the host."""
STEP_MS = 1_000
"""The shadow goes on whenever the ledger has gone on by this much."""
BEHIND_MS = 3_600_000
"""The most that a shadow stays behind the ledger, unless it is told otherwise."""


class Shadow:
    """The shadow of one pool, from a state on. `take` every batch that counts, once it was folded; then `finish`."""

    def __init__(
        self, policy: Policy, state: State, log: ShadowLog, *, costs: Costs = Costs(), behind_ms: int = BEHIND_MS
    ) -> None:
        """`state` is copied. NotComparable when the policy does not fit the state's pool or tiers."""
        check_covers(policy, {*state.policy.tiers} if state.policy is not None else set(), state.pool)
        self._policy, self._costs, self._behind_ms, self._log = policy, costs, behind_ms, log
        self._pool, self._began_ms, self._live = state.pool, state.now_ms, state
        self.now_ms = state.now_ms
        """The shadow's clock: what the candidate would have done until then is known."""
        self._state = first_state.copied(state) if state.now_ms else None
        """The state that the simulation begins with; None: the ledger's beginning."""
        self._recorder = Recorder(state.pool, state)
        self.arrivals = RollingArrivals()
        self._jobs = LedgerJobs(policy, state, self._recorder, self.arrivals, log)
        self._known_ms = state.now_ms
        """Everything that was said before this moment has been read."""
        self._stepped_ms = state.now_ms
        """When the shadow went on last, by the ledger's clock."""
        self.simulation: Simulation | None = None

    @property
    def held(self) -> int:
        """Jobs in memory: those that have not ended in the shadow or in the pool."""
        return self.arrivals.held + len(self._recorder.lives)

    def take(self, batch: Batch, offset: int, live: State) -> None:
        """`live` is the pool's state after the batch."""
        self._recorder.take(batch)
        for event in batch.events:
            self._jobs.hear(event, batch.now_ms)
        settled_ms = batch.now_ms - SETTLED_MS
        if not batch.caught_up:
            settled_ms = min(settled_ms, max((record.at_ms for record in batch.inputs), default=self._known_ms))
        self._known_ms = max(self._known_ms, settled_ms)
        self._live = live
        self._log.read(batch.now_ms, offset, live.slos)
        if batch.now_ms >= self._stepped_ms + STEP_MS:
            self._stepped_ms = batch.now_ms
            self._step()

    def finish(self, reason: str) -> None:
        """The ledger has ended: jobs with a result run to their end, as in what-if; jobs without one are left out."""
        self._step(last=True)
        self.leave(reason)

    def leave(self, reason: str) -> None:
        """Stops here, and writes the reason into the log."""
        self._log.flush(self.now_ms, self._jobs.left_out)
        self._log.stopped(reason)

    # -- steps --------------------------------------------------------------------------------------------------

    def _step(self, *, last: bool = False) -> None:
        """Takes in what is known, and advances the simulation as far as nothing is missing."""
        floor_ms = self._live.now_ms - self._behind_ms
        if self.simulation is None and (last or floor_ms >= self._began_ms or not self._jobs.any_is_open):
            self.simulation = self._begin(last=last)
        if self.simulation is not None:
            horizon_ms = self._jobs.take_in(self._live, self._known_ms, floor_ms, last=last)
            self._pass_on(self.simulation)
            if not last:
                heard_ms = min((self._recorder.heard_ms[node] for node in self._live.nodes), default=NEVER)
                horizon_ms = min(horizon_ms, max(heard_ms - 1, floor_ms))
            self.simulation.advance(horizon_ms)
            reached_ms = max(self.simulation.now_ms, self._live.now_ms) if last else horizon_ms
            self.now_ms = max(self.now_ms, reached_ms)
        self._log.flush_if_due(self.now_ms, self._jobs.left_out)

    def _begin(self, *, last: bool) -> Simulation:
        """The jobs of the first state have ended, or the shadow may wait for them no longer: the simulation begins."""
        cancelled = self._jobs.take_in_first(self._live, self._state, last=last)
        state, self._state = self._state, None
        if state is not None:
            state.trial = None  # the candidate is not on trial itself
            first_state.pin(state, self.arrivals.versions_of_jobs(), self._recorder.versions)
        return Simulation(
            self._policy,
            self._recorder.versions,
            self.arrivals,
            Fleet(),
            pool=self._pool,
            said=[(self._began_ms, CancelRequested(job)) for job in cancelled],
            state=state,
            costs=self._costs,
            observer=self._observe,
        )

    def _pass_on(self, simulation: Simulation) -> None:
        """Tells the simulation what machines and operators did, by the ledger."""
        for move in self._recorder.fleet.moves:
            simulation.move(msgspec.structs.replace(move, at_ms=max(move.at_ms, simulation.now_ms)))
        for at_ms, body in self._recorder.operations:
            simulation.say(max(at_ms, simulation.now_ms), body)
        self._recorder.fleet.moves.clear()
        self._recorder.operations.clear()

    def _observe(self, now_ms: int, events: Sequence[Event]) -> None:
        """Writes down what the simulation did in a batch, and forgets the jobs that ended."""
        simulation, unstarted = self.simulation, self._jobs.unstarted
        assert simulation is not None
        for event in events:
            if isinstance(event, JobDispatched):
                self._log.dispatched(ShadowDispatch(now_ms, event.job, event.attempt, event.cluster, event.node))
            elif isinstance(event, AttemptStarted):
                if event.job in unstarted:
                    unstarted.discard(event.job)
                    self._log.started(ShadowStart(event.job, simulation.start_ms_of(event.job)))
            elif type(event).__name__ in ENDINGS:
                job: str = event.job  # type: ignore[union-attr]
                unstarted.discard(job)
                self.arrivals.forget(simulation.forget(job))
        self._log.flush_if_full(now_ms, self._jobs.left_out)
