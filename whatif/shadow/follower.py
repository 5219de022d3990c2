"""A candidate policy beside the one in force: it follows a pool's ledger and says what it would have done.

Theory of operation. `follow` reads the ledger as it grows. Where the pool stood when the shadow began is the state of
a simulation, which is told the candidate as if it had been applied then; what the ledger says later comes to it as
what-if has it from a finished ledger (`recorded.Recorder`): machines, drains, and each job with the run time of its
successful attempt. So a job is taken in when it has ended, and the shadow's clock stays before the submission of the
first that has not: it goes a bounded time behind the ledger. When the bound is reached a job is taken in with the run
time that its version's runs have taken lately, and said to be assumed. The clock also stays before the last word of
every node, which may turn out to be lost since, and a little behind the ledger, so that nothing comes too late.

Nothing but what is open is held: what has ended in the shadow is forgotten, and what it did is in its records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

import msgspec

from audit.ledger.damage import Damage
from audit.ledger.past import LedgerPast
from audit.ledger.walk import Walk, walked
from contract.batch import Batch
from contract.events import AttemptStarted, Event, JobAccepted, JobDispatched
from contract.inputs import CancelRequested
from contract.lifecycle import ENDINGS
from contract.policy import Policy
from contract.shadows import ShadowDispatch, ShadowJob, ShadowStart
from scheduling import snapshot
from scheduling.state.pool import State
from whatif.compare import covers
from whatif.recorded import OPEN, Life, Recorder
from whatif.shadow.log import ShadowLog
from whatif.shadow.rolling_arrivals import RollingArrivals
from whatif.simulation.event_queue import NEVER
from whatif.simulation.machines import Fleet
from whatif.simulation.nodes import Costs
from whatif.simulation.simulation import Simulation

SETTLED_MS = 10_000
"""So long after a moment everything that was said then is in a batch that had caught up: two ticks of the host."""
STEP_MS = 1_000
"""The shadow goes on when the ledger has by so much."""
BEHIND_MS = 3_600_000
"""The most that a shadow stays behind, unless it is told otherwise."""
NO_RUN_TIME = "no run time known"
OTHER_TIER = "of a tier that the candidate has not"
FOREVER_MS = 1 << 40
"""Run time of an attempt that is killed before it has passed."""


class WaitingJob(NamedTuple):
    """A job that has not been taken in; in the order of submission, then of acceptance."""

    submitted_ms: int
    place: int
    job: str


class Shadow:
    """Of one pool, from a state on. `take` it every batch that counts once it was folded, then `finish` it."""

    def __init__(
        self, policy: Policy, state: State, log: ShadowLog, *, costs: Costs = Costs(), behind_ms: int = BEHIND_MS
    ) -> None:
        """`state` is copied. Unlike when the policy does not go with it."""
        covers(policy, {*state.policy.tiers} if state.policy is not None else set(), state.pool)
        self._policy, self._costs, self._behind_ms, self._log = policy, costs, behind_ms, log
        self._pool, self._began_ms, self._live = state.pool, state.now_ms, state
        self.now_ms = state.now_ms
        """The shadow's clock: what the candidate would have done until then is known."""
        self._state = _copy(state) if state.now_ms else None
        """What the simulation begins with; None: the ledger's beginning."""
        self._recorder = Recorder(state.pool, state)
        self._waiting = [WaitingJob(job.submitted_ms, 0, name) for name, job in state.jobs.items()]
        """A heap; until the simulation has begun, of the jobs of the state."""
        self._waiting.sort()
        self._later: list[WaitingJob] = []
        """Jobs accepted before the simulation has begun."""
        self._accepted = 0
        self._known_ms = self._stepped_ms = state.now_ms
        """What was said until the first has been read; when it went on last, by the ledger's clock."""
        self._going_on: dict[str, bool] = {}
        """Jobs that had not ended in the pool when they were taken in (True) or left out."""
        self._unstarted: set[str] = set()
        """Jobs taken in that have not started in the shadow."""
        self.left_out: Counter[str] = Counter()
        self.arrivals = RollingArrivals()
        self.simulation: Simulation | None = None

    @property
    def held(self) -> int:
        """Jobs in memory: not ended here or in the pool."""
        return self.arrivals.held + len(self._recorder.lives)

    def take(self, batch: Batch, offset: int, live: State) -> None:
        """`live` is the pool's state after the batch."""
        self._recorder.take(batch)
        for event in batch.events:
            self._hear(event, batch.now_ms)
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
        """Nothing more is to be read: what has a result runs to its end, as in what-if; what has none is left out."""
        self._step(last=True)
        self.leave(reason)

    def leave(self, reason: str) -> None:
        """It goes no further, and says why."""
        self._log.flush(self.now_ms, self.left_out)
        self._log.stopped(reason)

    # -- the ledger ---------------------------------------------------------------------------------------------

    def _hear(self, event: Event, now_ms: int) -> None:
        if isinstance(event, JobAccepted):
            self._accepted += 1
            waiting = WaitingJob(event.submitted_ms, self._accepted, event.job)
            if self.simulation is None:
                self._later.append(waiting)
            else:
                heappush(self._waiting, waiting)
        elif (job := getattr(event, "job", "")) in self._going_on:
            life = self._recorder.lives[job]
            if isinstance(event, AttemptStarted) and life.first_start_ms == now_ms and self._going_on[job]:
                self._log.live_started(ShadowStart(job, now_ms))
            elif life.ended != OPEN:
                del self._going_on[job], self._recorder.lives[job]

    def _step(self, *, last: bool = False) -> None:
        """Takes in what is known and goes on as far as that is all."""
        floor_ms = self._live.now_ms - self._behind_ms
        if self.simulation is None and not self._begin(floor_ms, last=last):
            self._log.flush_if_due(self.now_ms, self.left_out)
            return
        assert self.simulation is not None
        horizon_ms = NEVER if last else self._known_ms
        while self._waiting and (last or self._waiting[0].submitted_ms <= self._known_ms):
            submitted_ms, _, job = self._waiting[0]
            if self._is_open(job) and not last and submitted_ms > floor_ms:
                horizon_ms = min(horizon_ms, submitted_ms - 1)
                break
            heappop(self._waiting)
            self._settle(job, last=last)
        self._pass_on()
        if not last:
            heard_ms = min((self._recorder.heard_ms[node] for node in self._live.nodes), default=NEVER)
            horizon_ms = min(horizon_ms, max(heard_ms - 1, floor_ms))
        self.simulation.advance(horizon_ms)
        self.now_ms = max(self.now_ms, max(self.simulation.now_ms, self._live.now_ms) if last else horizon_ms)
        self._log.flush_if_due(self.now_ms, self.left_out)

    def _is_open(self, job: str) -> bool:
        life = self._recorder.lives.get(job)
        return life is not None and life.ended == OPEN

    def _begin(self, floor_ms: int, *, last: bool) -> bool:
        """Whether the simulation has begun: what the jobs of the state are to run is known, or the bound is reached."""
        if not last and floor_ms < self._began_ms and any(self._is_open(waiting.job) for waiting in self._waiting):
            return False
        jobs = [waiting.job for waiting in self._waiting]
        cancelled = [job for job in jobs if not self._settle(job, last=last, seed=True)]
        if self._state is not None:
            self._state.trial = None  # the candidate is not itself on trial
        self.simulation = Simulation(
            self._policy,
            self._recorder.versions,
            self.arrivals,
            Fleet(),
            pool=self._pool,
            said=[(self._began_ms, CancelRequested(job)) for job in cancelled],
            state=self._state,
            costs=self._costs,
            observer=self._observe,
        )
        self._state = None
        self._waiting, self._later = sorted(self._later), []
        return True

    def _settle(self, job: str, *, last: bool, seed: bool = False) -> bool:
        """Takes a job in, or leaves it out: False. One whose id came again before it was settled is settled as that."""
        if job not in self._recorder.lives:
            return False
        life, live, run_ms, assumed = self._recorder.lives[job], self._live, -1, False
        why = OTHER_TIER if life.tier not in self._policy.tiers and not seed else life.ended
        if life.ended == OPEN and not last and life.version in live.run_ms:
            ran_ms = live.now_ms - life.start_ms if life.start_ms >= 0 else 0
            run_ms, assumed = max(live.run_ms[life.version], ran_ms), True
        elif life.ended == OPEN and not last:
            why = NO_RUN_TIME
        elif not why:
            run_ms = life.run_ms
        if life.ended == OPEN:
            self._going_on[job] = run_ms >= 0
        else:
            del self._recorder.lives[job]
        if run_ms < 0:
            self.left_out[why] += 1
            if seed:
                self._put(job, life, FOREVER_MS)
            return False
        self._put(job, life, run_ms)
        if not (seed and self._state is not None and self._state.jobs[job].has_started):
            self._unstarted.add(job)
            self._log.taken(
                ShadowJob(
                    job, life.tenant, life.tier, life.version, life.submitted_ms, run_ms, life.first_start_ms, assumed
                )
            )
        return True

    def _put(self, job: str, life: Life, run_ms: int) -> None:
        at_ms = max(life.submitted_ms, self.arrivals.last_ms)
        self.arrivals.put(job, at_ms, life.tier, life.tenant, life.version, run_ms)

    def _pass_on(self) -> None:
        """Machines and operators, as the ledger has them."""
        assert self.simulation is not None
        now_ms = self.simulation.now_ms
        for move in self._recorder.fleet.moves:
            self.simulation.move(msgspec.structs.replace(move, at_ms=max(move.at_ms, now_ms)))
        for at_ms, body in self._recorder.operations:
            self.simulation.say(max(at_ms, now_ms), body)
        self._recorder.fleet.moves.clear()
        self._recorder.operations.clear()

    # -- the simulation -----------------------------------------------------------------------------------------

    def _observe(self, now_ms: int, events: Sequence[Event]) -> None:
        simulation = self.simulation
        assert simulation is not None
        for event in events:
            if isinstance(event, JobDispatched):
                self._log.dispatched(ShadowDispatch(now_ms, event.job, event.attempt, event.cluster, event.node))
            elif isinstance(event, AttemptStarted):
                if event.job in self._unstarted:
                    self._unstarted.discard(event.job)
                    self._log.started(ShadowStart(event.job, simulation.start_ms_of(event.job)))
            elif type(event).__name__ in ENDINGS:
                job: str = event.job  # type: ignore[union-attr]
                self._unstarted.discard(job)
                self.arrivals.forget(simulation.forget(job))
        self._log.flush_if_full(now_ms, self.left_out)


def _copy(state: State) -> State:
    return snapshot.decode(snapshot.encode(state))


class Followed(NamedTuple):
    shadow: Shadow
    damage: Damage | None
    """Why the ledger could be read no further."""


def follow(past: LedgerPast, make: Callable[[State], Shadow], since_ms: int, until_ms: int = NEVER) -> Followed:
    """Follows the ledger with the shadow that `make` makes of the pool's state at `since_ms`, until the ledger ends or
    its clock passes `until_ms`. `make` is called again when it has to be read from its beginning
    (audit.ledger.walk)."""

    def read(walk: Walk) -> Followed:
        shadow: Shadow | None = None
        held: tuple[int, Batch] | None = None
        for offset, batch in walk:
            if shadow is not None and held is not None:
                shadow.take(held[1], held[0], walk.state)
            if shadow is None and batch.now_ms > since_ms:
                shadow = make(walk.state)
            if batch.now_ms > until_ms:
                held = None
                break
            held = offset, batch
        if shadow is None:
            shadow, held = make(walk.state), None
        if held is not None and walk.state.head_offset == held[0]:
            shadow.take(held[1], held[0], walk.state)
        return Followed(shadow, walk.damage)

    return walked(past, since_ms, read)
