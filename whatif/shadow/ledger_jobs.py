"""The jobs of a ledger, as a shadow takes them in: each once its run time is known or assumed, in order of submission.

A job is taken in when it has ended in the pool, with the run time of its successful attempt. A job that is still open
when the shadow may stay behind no longer is taken in with the run time that its version's runs have taken lately, and
marked as assumed. A job with neither is left out, and counted by the reason; so is an open job whose version was
withdrawn and whose alias has no other, because nobody knows which version it will run.
"""

from __future__ import annotations

from collections import Counter
from heapq import heappop, heappush
from typing import NamedTuple

from contract.events import AttemptStarted, Event, InputsPrepared, JobAccepted, JobPreparing
from contract.lifecycle import JobState
from contract.policy import Policy
from contract.shadows import ShadowJob, ShadowStart
from scheduling.state.pool import State
from whatif.recorded import OPEN, Life, Recorder
from whatif.shadow.log import ShadowLog
from whatif.shadow.rolling_arrivals import RollingArrivals
from whatif.simulation.arrivals import FOREVER_MS
from whatif.simulation.event_queue import NEVER

NO_RUN_TIME = "no run time known"
OTHER_TIER = "of a tier that the candidate has not"
WITHDRAWN = "waits for a version"


class WaitingJob(NamedTuple):
    """A job that has not been taken in; sorts by submission, then by acceptance."""

    submitted_ms: int
    """If its media were prepared, when they were: it came to its line then."""
    place: int
    job: str


class LedgerJobs:
    """Moves jobs from the ledger's record into a shadow's arrivals."""

    def __init__(
        self, policy: Policy, state: State, recorder: Recorder, arrivals: RollingArrivals, log: ShadowLog
    ) -> None:
        """`policy` is the candidate; `state` is the pool's state at which the shadow begins."""
        self._policy, self._recorder, self._arrivals, self._log = policy, recorder, arrivals, log
        self.left_out: Counter[str] = Counter()
        self.unstarted: set[str] = set()
        """Jobs taken in that have not started in the shadow."""
        self._waiting = sorted(
            WaitingJob(job.submitted_ms, 0, name)
            for name, job in state.jobs.items()
            if job.state is not JobState.PREPARING
        )
        """A heap; until the simulation has begun, the jobs of the state."""
        self._preparing = {name for name, job in state.jobs.items() if job.state is JobState.PREPARING}
        """Jobs that have not come to a line: their media are not prepared."""
        self._later: list[WaitingJob] = []
        """Jobs that were accepted before the simulation has begun."""
        self._begun = False
        self._accepted = 0
        self._going_on: dict[str, bool] = {}
        """Jobs that had not ended in the pool when they were taken in (True) or left out (False)."""

    def hear(self, event: Event, now_ms: int) -> None:
        """One event of the ledger, after the recorder has heard it."""
        if isinstance(event, JobPreparing):
            self._preparing.add(event.job)
        elif isinstance(event, JobAccepted) or (isinstance(event, InputsPrepared) and event.job in self._preparing):
            self._preparing.discard(event.job)
            self._accepted += 1
            at_ms = event.submitted_ms if isinstance(event, JobAccepted) else now_ms
            waiting = WaitingJob(at_ms, self._accepted, event.job)
            if self._begun:
                heappush(self._waiting, waiting)
            else:
                self._later.append(waiting)
        elif (job := getattr(event, "job", "")) in self._preparing and self._recorder.lives[job].ended != OPEN:
            self._preparing.remove(job)
            self.left_out[self._recorder.lives.pop(job).ended] += 1
        elif job in self._going_on:
            life = self._recorder.lives[job]
            if isinstance(event, AttemptStarted) and life.first_start_ms == now_ms and self._going_on[job]:
                self._log.live_started(ShadowStart(job, now_ms))
            elif life.ended != OPEN:
                del self._going_on[job], self._recorder.lives[job]

    @property
    def any_is_open(self) -> bool:
        """A job that has not been taken in has not ended in the pool."""
        return any(self._is_open(waiting.job) for waiting in self._waiting)

    def _is_open(self, job: str) -> bool:
        life = self._recorder.lives.get(job)
        return life is not None and life.ended == OPEN

    def take_in_first(self, live: State, began: State | None, *, last: bool) -> list[str]:
        """Takes in the jobs of `began`, the state that the simulation begins with (None: no job). Returns the jobs that
        are left out: they are in that state, so they must be cancelled there."""
        jobs = [waiting.job for waiting in self._waiting]
        cancelled = []
        for job in jobs:
            has_started = began is not None and began.jobs[job].has_started
            if not self._settle(job, live, last=last, first=True, has_started=has_started):
                cancelled.append(job)
        self._waiting, self._later = sorted(self._later), []
        self._begun = True
        return cancelled

    def take_in(self, live: State, known_ms: int, floor_ms: int, *, last: bool) -> int:
        """Takes in jobs submitted up to `known_ms`, as far as each has ended. A job submitted up to `floor_ms` does not
        wait for its end, and with `last` no job does. Returns the moment up to which the arrivals are complete."""
        while self._waiting and (last or self._waiting[0].submitted_ms <= known_ms):
            submitted_ms, _, job = self._waiting[0]
            if self._is_open(job) and not last and submitted_ms > floor_ms:
                return min(known_ms, submitted_ms - 1)
            heappop(self._waiting)
            self._settle(job, live, last=last)
        if last and self._preparing:
            self.left_out[OPEN] += len(self._preparing)
            self._preparing.clear()
        return NEVER if last else known_ms

    def _settle(self, job: str, live: State, *, last: bool, first: bool = False, has_started: bool = False) -> bool:
        """Takes a job in (True) or leaves it out (False). `first`: the job is in the state that the simulation begins
        with. If the job's id came again before the job was settled, the newer job of that id is settled."""
        if job not in self._recorder.lives:
            return False
        life = self._recorder.lives[job]
        run_ms, assumed, why = self._run_time(job, live, last=last, first=first)
        if life.ended == OPEN:
            self._going_on[job] = run_ms >= 0
        else:
            del self._recorder.lives[job]
        if run_ms < 0:
            self.left_out[why] += 1
            if first:
                self._put(job, life, FOREVER_MS)
            return False
        self._put(job, life, run_ms)
        if not has_started:
            self.unstarted.add(job)
            self._log.taken(
                ShadowJob(
                    job, life.tenant, life.tier, life.version, life.submitted_ms, run_ms, life.first_start_ms, assumed
                )
            )
        return True

    def _run_time(self, job: str, live: State, *, last: bool, first: bool) -> tuple[int, bool, str]:
        """(run time in ms, whether it is assumed, why the job is left out); the run time is -1 when it is left out."""
        life = self._recorder.lives[job]
        why = OTHER_TIER if life.tier not in self._policy.tiers and not first else life.ended
        if life.ended != OPEN or last:
            return -1 if why else life.run_ms, False, why
        if life.version not in live.run_ms:
            return -1, False, NO_RUN_TIME
        if life.version in live.withdrawn and (waiting := live.jobs.get(job)) is not None and waiting.open is None:
            return -1, False, WITHDRAWN
        ran_ms = live.now_ms - life.start_ms if life.start_ms >= 0 else 0
        return max(live.run_ms[life.version], ran_ms), True, why

    def _put(self, job: str, life: Life, run_ms: int) -> None:
        at_ms = max(life.arrives_ms, self._arrivals.last_ms)
        before_ms = at_ms - life.submitted_ms if life.prepared_ms >= 0 else 0
        self._arrivals.put(job, at_ms, life.tier, life.tenant, life.version, run_ms, before_ms)
