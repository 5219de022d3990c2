"""One job, followed through a ledger from its submission to its start: what the job waited for, stretch by stretch.

Theory of operation. Before a record is folded, the stretch since the record before is judged by the state in that
stretch; then the record's own events of the job move the tracker on. Three kinds of stretches are kept aside, because
their cause is known only later. What an attempt waited at its node is known when the attempt starts or is called back.
What a CPU worker did is known when its inputs are accepted. A run belongs to the wait only if the job has to start
again.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any

from audit.ledger.damage import Damage, NotBelieved
from audit.ledger.outages import led_until, opens
from audit.ledger.walk import Walk
from audit.waits.causes import Cause, CauseGroup, Shares
from audit.waits.contention import at_its_node
from audit.waits.preparing import ENDED_BY_REQUEST, Stretch, before_workers, divided
from audit.waits.time_in_line import TimeInLine
from audit.waits.wait import Promised, Wait
from contract import events as said
from contract.batch import TICK_MS, Batch
from contract.events import Event
from contract.lifecycle import ENDINGS
from scheduling.state.pool import State


class WaitPhase(StrEnum):
    """Where the job is, as the tracker of its wait sees it."""

    UNKNOWN = "unknown"
    PREPARING = "preparing"
    """The job waits for a CPU worker."""
    AT_WORKER = "at_worker"
    QUEUED = "queued"
    STAGED = "staged"
    RUNNING = "running"
    CLOSED = "closed"
    """The job's attempt closed in this record; a later event says what becomes of the job."""
    STOPPED = "stopped"
    """The job no longer waits: it is being ended, or it has ended."""


class WaitTracker:
    """Follows one job through a walk."""

    def __init__(self, job: str, submitted_ms: int = 0) -> None:
        """Follows the newest life of the job, or, if `submitted_ms` is known, the life that was submitted then."""
        self.job = job
        self.outages: list[tuple[int, int]] = []
        """Outages before the job was accepted: the submission may lie in them."""
        self._wanted_ms = submitted_ms
        self._opened = False
        """The last record was an Opened: a takeover, and nothing is decided yet."""
        self._line = TimeInLine(job)
        self._begin()

    def _begin(self) -> None:
        """A life of the job begins: nothing is known of it yet."""
        self.phase = WaitPhase.UNKNOWN
        self.shares = Shares()
        self._tenant = self._tier = ""
        """Empty until the job is accepted or promised."""
        self._submitted_ms = self._slo_ms = 0
        self._until_ms = 0
        self._started = False
        self._aside: list[Stretch] = []
        """Of the open attempt: the wait at its node, or its run. Of the open preparation: the time at its worker."""
        self._attempt = 0
        self._cluster = ""
        self._run_ms = 0
        """When the running attempt started."""
        self._chosen = ""
        self._forecast = (0, 0)
        self._ended_offset: int | None = None
        """Offset of the record in which the life ended: later records do not concern it."""
        self._line.begin_life()

    def through(self, walk: Walk, now_ms: int = 0, promised: Promised | None = None) -> Wait | None:
        """The wait; None when the ledger does not accept the job and nobody was promised the job. NotBelieved."""
        offset = walk.began_offset
        for at, batch in walk:
            if offset == walk.began_offset:
                self._opened = walk.began_opened
            offset = at
            try:
                self._pass_time(walk.state, batch)
                self._hear(walk.state, batch, offset)
            except Exception as broken:  # an edited ledger or a defect of ours: the wait is known up to here only
                text = f"the wait can't be judged over it: {type(broken).__name__}"
                raise NotBelieved(Damage(at, text, walk.state.head_offset, walk.state.now_ms)) from None
            if self._ended_offset is not None and 0 < self._wanted_ms <= self._submitted_ms:
                break
        if offset == walk.began_offset:
            self._opened = walk.began_opened
        if self._ended_offset is None and walk.damage is None:
            self._pass_time_since(walk.state, max(now_ms, walk.state.now_ms), promised)
        if not self._tenant:
            return None
        if self.phase in (WaitPhase.STAGED, WaitPhase.AT_WORKER):
            self._commit()
        waits = self.phase in _WAITING
        return Wait(
            job=self.job,
            tenant=self._tenant,
            tier=self._tier,
            submitted_ms=self._submitted_ms,
            until_ms=self._until_ms,
            slo_ms=self._slo_ms,
            outcome="waiting" if waits else "started" if self._started else "ended",
            shares=self.shares.settled(),
            chosen="" if waits else self._chosen,
            forecast=self._forecast,
            offset=offset if self._ended_offset is None else self._ended_offset,
            damage=walk.damage if self._ended_offset is None else None,
        )

    # -- between two records ------------------------------------------------------------------------------------

    def _pass_time_since(self, state: State, now_ms: int, promised: Promised | None) -> None:
        """Judges the time since the last record. A job that is only promised is on its way until now."""
        self._pass_time(state, None, now_ms)
        if not self._tenant and promised is not None:
            # a pool at rest promises no tick, but it reads what comes
            self.outages.append((max(state.now_ms, promised.submitted_ms) + TICK_MS, now_ms))
            self._get_underway(promised, now_ms, state.slos.get(promised.tier, 0))

    def _pass_time(self, state: State, batch: Batch | None, now_ms: int = 0) -> None:
        """Judges the time from the state's record to this batch, or to `now_ms` when no batch came since."""
        from_ms, until_ms = state.now_ms, batch.now_ms if batch is not None else now_ms
        led_ms = led_until(state, batch, until_ms, taken_over=self._opened)
        if self.phase in (WaitPhase.UNKNOWN, WaitPhase.STOPPED):
            if led_ms < until_ms:
                self.outages.append((led_ms, until_ms))
        elif self.phase in (WaitPhase.QUEUED, WaitPhase.PREPARING):
            self._stand_in_line(state, batch, from_ms, led_ms)
            self._add(Cause(CauseGroup.DOWN), led_ms, until_ms)
        elif self.phase is WaitPhase.STAGED:
            self._stay_at_node(state, from_ms, led_ms, until_ms)
        elif self.phase is WaitPhase.AT_WORKER:
            self._aside.append(Stretch(Cause(CauseGroup.AT_WORKER), from_ms, led_ms))
            self._aside.append(Stretch(Cause(CauseGroup.DOWN), led_ms, until_ms))

    def _stand_in_line(self, state: State, batch: Batch | None, from_ms: int, until_ms: int) -> None:
        if state.held:
            self._add(Cause(CauseGroup.HELD), from_ms, until_ms)
            return
        job = state.jobs[self.job]
        rest_ms = job.eligible_lease_ms - state.lease_ms
        if rest_ms > 0:
            wakes = batch is None or state.lease_ms + batch.elapsed_ms >= job.eligible_lease_ms
            woken_ms = min(until_ms, from_ms + rest_ms) if wakes else until_ms
            prepares = self.phase is WaitPhase.PREPARING
            self._add(Cause(CauseGroup.WORKER_BACKOFF if prepares else CauseGroup.BACKOFF), from_ms, woken_ms)
            from_ms = woken_ms
        elif self.phase is WaitPhase.QUEUED:
            self._line.may_be_picked(state)
        if from_ms < until_ms and job.version in state.withdrawn:
            self._add(Cause(CauseGroup.WITHDRAWN), from_ms, until_ms)
        elif from_ms < until_ms:
            if self.phase is WaitPhase.PREPARING:
                self.shares.split(before_workers(state), from_ms, until_ms)
            else:
                self._line.split(state, from_ms, until_ms, self.shares)
            self._until_ms = until_ms

    def _stay_at_node(self, state: State, from_ms: int, led_ms: int, until_ms: int) -> None:
        """A node goes on by itself through an outage, but nobody hears of its start before the outage is over."""
        attempt = state.jobs[self.job].open
        assert attempt is not None
        cause, ahead = at_its_node(state, attempt, state.jobs[self.job].version)
        self._aside.append(Stretch(cause, from_ms, led_ms, ahead))
        self._aside.append(Stretch(Cause(CauseGroup.DOWN), led_ms, until_ms))

    def _add(self, cause: Cause, from_ms: int, until_ms: int) -> None:
        self.shares.add(cause, from_ms, until_ms)
        self._until_ms = max(self._until_ms, until_ms)

    def _commit(self, instead: Cause | None = None) -> None:
        """Stretches kept aside belong to the wait: each under its own cause, or all under the cause `instead`."""
        for cause, from_ms, until_ms, ahead in self._aside:
            self._add(instead or cause, from_ms, until_ms)
            if ahead and instead is None:
                self.shares.name(cause, (ahead,))
        self._aside.clear()

    # -- the events of a record ---------------------------------------------------------------------------------

    def _hear(self, state: State, batch: Batch, offset: int) -> None:
        """`state` is the state before the batch."""
        self._opened = opens(batch)
        for index, event in enumerate(batch.events):
            self._line.hear(state, batch, index, event)
            if getattr(event, "job", "") == self.job:
                name = type(event).__name__
                if isinstance(event, said.JobAccepted | said.JobPreparing | said.JobRefused):
                    self._begin()
                if isinstance(event, said.JobAccepted | said.JobPreparing):
                    self._accept(event, batch, _slo_ms(state, batch.events[:index], event.tier))
                elif name in _HEARD:
                    _HEARD[name](self, event, batch.now_ms)
                if name in ENDINGS:
                    self.phase, self._ended_offset = WaitPhase.STOPPED, offset
                    self._submitted_ms = self._submitted_ms or batch.now_ms

    def _accept(self, event: said.JobAccepted | said.JobPreparing, batch: Batch, slo_ms: int) -> None:
        self._get_underway(Promised(event.tenant, event.tier, event.submitted_ms), batch.now_ms, slo_ms)
        if isinstance(event, said.JobPreparing):
            self.phase = WaitPhase.PREPARING
        else:
            self._forecast = (event.start_p50_ms, event.start_p90_ms)

    def _get_underway(self, submitted: Promised, now_ms: int, slo_ms: int) -> None:
        """The job was on its way to the scheduler until now, except for the outages in that time."""
        self.phase, self._slo_ms = WaitPhase.QUEUED, slo_ms
        self._tenant, self._tier, submitted_ms = submitted
        at_ms = self._until_ms = self._submitted_ms = min(submitted_ms, now_ms)
        for from_ms, until_ms in self.outages:
            from_ms, until_ms = max(from_ms, at_ms), min(until_ms, now_ms)
            if from_ms < until_ms:
                self._add(Cause(CauseGroup.ON_THE_WAY), at_ms, from_ms)
                self._add(Cause(CauseGroup.DOWN), from_ms, until_ms)
                at_ms = until_ms
        self._add(Cause(CauseGroup.ON_THE_WAY), at_ms, now_ms)

    def _renew_forecast(self, event: said.StartForecast, now_ms: int) -> None:
        self._forecast = (event.p50_ms, event.p90_ms)

    def _dispatch(self, event: said.JobDispatched, now_ms: int) -> None:
        self.phase = WaitPhase.STAGED
        self._attempt, self._cluster, self._chosen = event.attempt, event.cluster, event.reason
        self._line.leave()

    def _start(self, event: said.AttemptStarted, now_ms: int) -> None:
        if self.phase is WaitPhase.STAGED:
            self._commit()
            self.phase, self._run_ms, self._started = WaitPhase.RUNNING, now_ms, True

    def _cancel(self, event: said.JobCancelling, now_ms: int) -> None:
        if self.phase is WaitPhase.STAGED:
            self._commit()
        self.phase = WaitPhase.STOPPED

    def _close(self, event: said.AttemptFailed | said.AttemptClosed, now_ms: int) -> None:
        if self.phase is WaitPhase.STOPPED:
            return
        reason = event.kind if isinstance(event, said.AttemptFailed) else event.reason
        ran = Cause(CauseGroup.RAN, attempt=self._attempt, reason=reason)
        if self.phase is WaitPhase.RUNNING:
            self._aside = [Stretch(ran, self._run_ms, now_ms)]
        elif isinstance(event, said.AttemptFailed):
            self._commit(ran)
        else:
            self._commit(Cause(CauseGroup.PARKED, cluster=self._cluster, reason=reason))
        self.phase = WaitPhase.CLOSED

    def _requeue(self, event: said.JobRequeued, now_ms: int) -> None:
        self._commit()
        self.phase, self._started = WaitPhase.QUEUED, False

    def _send_to_worker(self, event: said.PreparationOrdered, now_ms: int) -> None:
        self.phase = WaitPhase.AT_WORKER

    def _leave_worker(self, event: said.PreparationClosed, now_ms: int) -> None:
        ends = event.reason in ENDED_BY_REQUEST
        self._commit(None if ends else Cause(CauseGroup.UNPREPARED, reason=event.reason))
        self.phase = WaitPhase.PREPARING

    def _enter_line(self, event: said.InputsPrepared, now_ms: int) -> None:
        self._aside = divided(self._aside, event)
        self._commit()
        self.phase = WaitPhase.QUEUED
        if event.start_p90_ms:
            self._forecast = (event.start_p50_ms, event.start_p90_ms)

    def _refuse(self, event: said.InputsRefused, now_ms: int) -> None:
        self._commit()

    def _leave_line(self, event: said.InputsDropped, now_ms: int) -> None:
        self._commit()
        self._line.leave()
        self.phase, self._started = WaitPhase.PREPARING, False


_WAITING = (WaitPhase.PREPARING, WaitPhase.AT_WORKER, WaitPhase.QUEUED, WaitPhase.STAGED)

_HEARD: dict[str, Callable[[WaitTracker, Any, int], None]] = {
    "StartForecast": WaitTracker._renew_forecast,
    "JobDispatched": WaitTracker._dispatch,
    "AttemptStarted": WaitTracker._start,
    "JobCancelling": WaitTracker._cancel,
    "AttemptFailed": WaitTracker._close,
    "AttemptClosed": WaitTracker._close,
    "JobRequeued": WaitTracker._requeue,
    "PreparationOrdered": WaitTracker._send_to_worker,
    "PreparationClosed": WaitTracker._leave_worker,
    "InputsPrepared": WaitTracker._enter_line,
    "InputsRefused": WaitTracker._refuse,
    "InputsDropped": WaitTracker._leave_line,
}


def _slo_ms(state: State, before: tuple[Event, ...], tier: str) -> int:
    """The tier's SLO in force after these events of the next batch."""
    slo_ms = state.slos.get(tier, 0)
    for event in before:
        if isinstance(event, said.PolicyAdopted | said.PolicyReverted) and tier in event.policy.tiers:
            slo_ms = event.policy.tiers[tier].slo_ms
    return slo_ms
