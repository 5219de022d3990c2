"""One job, followed through a ledger from its submission to its start: what it waited for, stretch by stretch.

Theory of operation. Before a record is folded, the stretch since the record before it is judged by the state as it
was, and then the record's own events of the job move the follower on. What an attempt waited at its node is known only
when it starts or is called back, and whether a run belongs to the wait only when the job has to go again: until then
those stretches are kept aside.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, NamedTuple

from audit.ledger.damage import Damage
from audit.ledger.outages import led_until, opens
from audit.ledger.walk import Walk
from audit.waits.causes import Cause, CauseGroup, CauseShare, Shares
from audit.waits.contention import Contention, DispatchPlace, at_its_node
from contract import events as said
from contract.batch import TICK_MS, Batch
from contract.events import Event
from contract.lifecycle import ENDINGS
from contract.names import dispatch_id
from scheduling.state.pool import State


class WaitPhase(StrEnum):
    """Where the job is, as the follower of its wait sees it."""

    UNKNOWN = "unknown"
    QUEUED = "queued"
    STAGED = "staged"
    RUNNING = "running"
    CLOSED = "closed"
    """Its attempt closed in this record; what follows says what comes of it."""
    STOPPED = "stopped"
    """It no longer waits: it is being ended, or it has ended."""


class Stretch(NamedTuple):
    cause: Cause
    from_ms: int
    until_ms: int
    ahead: str = ""
    """The job it stood behind."""


class Wait(NamedTuple):
    """What came out."""

    job: str
    tenant: str
    tier: str
    submitted_ms: int
    until_ms: int
    slo_ms: int
    """The tier's when it was accepted."""
    outcome: str
    """`waiting`, `started`, or `ended` when it never started."""
    shares: dict[Cause, CauseShare]
    """By cause; their ms sum to until_ms - submitted_ms."""
    chosen: str
    """Why the discipline chose it at last, in its own word; empty while it waits."""
    forecast: tuple[int, int]
    """The newest forecast of the whole wait (p50, p90); (0, 0): none."""
    offset: int
    """Of the last ledger record read."""
    damage: Damage | None
    """Why the ledger was read no further."""


class Promised(NamedTuple):
    """Whoever was told that the broker has the job knows these: it may be on its way to the scheduler."""

    tenant: str
    tier: str
    submitted_ms: int


class WaitTracker:
    """Follows one job through a walk."""

    def __init__(self, job: str, submitted_ms: int = 0) -> None:
        """Of several lives of the job, the newest; if `submitted_ms` is known, the one that was submitted then."""
        self.job = job
        self.outages: list[tuple[int, int]] = []
        """Those before the job was accepted: the submission may lie in them."""
        self._wanted_ms = submitted_ms
        self._changed: set[str] | None = set()
        """Nodes whose attempts the last records changed; None: nodes, clusters or the policy changed."""
        self._opened = False
        """The last record was an Opened: a takeover, and nothing decided yet."""
        self._begin()

    def _begin(self) -> None:
        """A life of the job: nothing is known of it yet."""
        self.phase = WaitPhase.UNKNOWN
        self.shares = Shares()
        self._tenant = self._tier = ""
        """Whose job it is, once that is known."""
        self._submitted_ms = self._slo_ms = 0
        self._until_ms = 0
        self._started = False
        self._aside: list[Stretch] = []
        """Of the open attempt: what it waited at its node, or its run."""
        self._attempt = 0
        self._cluster = ""
        self._run_ms = 0
        """When the running attempt started."""
        self._since: DispatchPlace | None = None
        self._passed: set[str] = set()
        """Dispatches that look-ahead put before this job."""
        self._contention: Contention | None = None
        """While it stands in line and may be picked."""
        self._chosen = ""
        self._forecast = (0, 0)
        self._ended_offset: int | None = None
        """Of the record in which it ended: what comes after that does not concern it."""

    def through(self, walk: Walk, now_ms: int = 0, promised: Promised | None = None) -> Wait | None:
        """The wait; None when the ledger does not accept the job and nobody was promised it."""
        offset = walk.began_offset
        for at, batch in walk:
            if offset == walk.began_offset:
                self._opened = walk.began_opened
            offset = at
            self._between(walk.state, batch)
            self._hear(walk.state, batch, offset)
            if self._ended_offset is not None and 0 < self._wanted_ms <= self._submitted_ms:
                break
        state = walk.state
        if offset == walk.began_offset:
            self._opened = walk.began_opened
        if self._ended_offset is None and walk.damage is None:
            self._between(state, None, max(now_ms, state.now_ms))
            if not self._tenant and promised is not None:
                now_ms = max(now_ms, state.now_ms)
                # a pool at rest promises no tick, but it reads what comes
                self.outages.append((max(state.now_ms, promised.submitted_ms) + TICK_MS, now_ms))
                self._underway(promised, now_ms, state.slos.get(promised.tier, 0))
        if not self._tenant:
            return None
        if self.phase is WaitPhase.STAGED:
            self._commit()
        waits = self.phase in (WaitPhase.QUEUED, WaitPhase.STAGED)
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

    def _between(self, state: State, batch: Batch | None, now_ms: int = 0) -> None:
        """From the state's record to this batch, or to `now_ms` when none came since."""
        from_ms, until_ms = state.now_ms, batch.now_ms if batch is not None else now_ms
        lived_ms = led_until(state, batch, until_ms, taken_over=self._opened)
        if self.phase in (WaitPhase.UNKNOWN, WaitPhase.STOPPED):
            if lived_ms < until_ms:
                self.outages.append((lived_ms, until_ms))
        elif self.phase is WaitPhase.QUEUED:
            self._in_line(state, batch, from_ms, lived_ms)
            self._add(Cause(CauseGroup.DOWN), lived_ms, until_ms)
        elif self.phase is WaitPhase.STAGED:
            self._at_its_node(state, from_ms, lived_ms, until_ms)

    def _in_line(self, state: State, batch: Batch | None, from_ms: int, until_ms: int) -> None:
        job = state.jobs[self.job]
        rest_ms = job.eligible_lease_ms - state.lease_ms
        if rest_ms > 0:
            wakes = batch is None or state.lease_ms + batch.elapsed_ms >= job.eligible_lease_ms
            woken_ms = min(until_ms, from_ms + rest_ms) if wakes else until_ms
            self._add(Cause(CauseGroup.BACKOFF), from_ms, woken_ms)
            from_ms = woken_ms
        elif self._since is None:
            self._since, self._contention = (state.epoch, state.seq, 0), None
        if from_ms < until_ms:
            self._split(state, from_ms, until_ms)

    def _split(self, state: State, from_ms: int, until_ms: int) -> None:
        """Among what holds the slots that fit."""
        held = self._contention
        if held is None:
            held = self._contention = Contention(self.job, self._since, self._passed)
            held.look(state)
        elif self._changed is None:
            held.look(state)
        else:
            held.look_again(state, self._changed)
        self._changed = set()
        self.shares.split(held.weights(state), from_ms, until_ms)
        for cause, jobs in held.jobs.items():
            self.shares.name(cause, jobs)
        held.jobs.clear()
        self._until_ms = until_ms

    def _at_its_node(self, state: State, from_ms: int, lived_ms: int, until_ms: int) -> None:
        """A node goes on by itself through an outage, but nobody hears of its start before the outage is over."""
        attempt = state.jobs[self.job].open
        assert attempt is not None
        cause, ahead = at_its_node(state, attempt, state.jobs[self.job].version)
        self._aside.append(Stretch(cause, from_ms, lived_ms, ahead))
        self._aside.append(Stretch(Cause(CauseGroup.DOWN), lived_ms, until_ms))

    def _add(self, cause: Cause, from_ms: int, until_ms: int) -> None:
        self.shares.add(cause, from_ms, until_ms)
        self._until_ms = max(self._until_ms, until_ms)

    def _commit(self, instead: Cause | None = None) -> None:
        """What was kept aside belongs to the wait, each under its own cause or all under another."""
        for cause, from_ms, until_ms, ahead in self._aside:
            self._add(instead or cause, from_ms, until_ms)
            if ahead and instead is None:
                self.shares.name(cause, (ahead,))
        self._aside.clear()

    # -- the events of a record ---------------------------------------------------------------------------------

    def _hear(self, state: State, batch: Batch, offset: int) -> None:
        """`state` is that before the batch."""
        self._opened = opens(batch)
        for index, event in enumerate(batch.events):
            if isinstance(event, said.JobDispatched) and event.passed == self.job:
                self._passed.add(dispatch_id(batch.epoch, batch.seq, index))
            self._note_change(state, event)
            if getattr(event, "job", "") == self.job:
                name = type(event).__name__
                if isinstance(event, said.JobAccepted | said.JobRefused):
                    self._begin()
                if isinstance(event, said.JobAccepted):
                    self._take(event, batch, _slo_ms(state, batch.events[:index], event.tier))
                elif name in _HEARD:
                    _HEARD[name](self, event, batch.now_ms)
                if name in ENDINGS:
                    self.phase, self._ended_offset = WaitPhase.STOPPED, offset
                    self._submitted_ms = self._submitted_ms or batch.now_ms

    def _note_change(self, state: State, event: Event) -> None:
        """Which nodes hold other attempts after this event."""
        if isinstance(event, _OF_ALL_NODES):
            self._changed = None
        elif self._changed is None:
            return
        elif isinstance(event, said.JobDispatched):
            self._changed |= {event.node, *(member.node for member in event.members)}
        elif isinstance(event, _OF_ATTEMPTS):
            job = state.jobs.get(event.job)
            if job is not None and state.versions[job.version].requirements.ranks > 1:
                self._changed = None  # a gang holds slots of several nodes
            elif job is not None and job.open is not None:
                self._changed.add(job.open.node)

    def _take(self, event: said.JobAccepted, batch: Batch, slo_ms: int) -> None:
        self._underway(Promised(event.tenant, event.tier, event.submitted_ms), batch.now_ms, slo_ms)
        self._forecast = (event.start_p50_ms, event.start_p90_ms)

    def _underway(self, submitted: Promised, now_ms: int, slo_ms: int) -> None:
        """Its way to the scheduler until now, and what of that was an outage."""
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

    def _forecast_made(self, event: said.StartForecast, now_ms: int) -> None:
        self._forecast = (event.p50_ms, event.p90_ms)

    def _dispatched(self, event: said.JobDispatched, now_ms: int) -> None:
        self.phase, self._since, self._contention = WaitPhase.STAGED, None, None
        self._attempt, self._cluster, self._chosen = event.attempt, event.cluster, event.reason
        self._passed.clear()

    def _start(self, event: said.AttemptStarted, now_ms: int) -> None:
        if self.phase is WaitPhase.STAGED:
            self._commit()
            self.phase, self._run_ms, self._started = WaitPhase.RUNNING, now_ms, True

    def _cancelling(self, event: said.JobCancelling, now_ms: int) -> None:
        if self.phase is WaitPhase.STAGED:
            self._commit()
        self.phase = WaitPhase.STOPPED

    def _closed(self, event: said.AttemptFailed | said.AttemptClosed, now_ms: int) -> None:
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

    def _requeued(self, event: said.JobRequeued, now_ms: int) -> None:
        self._commit()
        self.phase, self._started = WaitPhase.QUEUED, False


_OF_ALL_NODES = (
    said.PolicyAdopted,
    said.PolicyReverted,
    said.NodeAdmitted,
    said.NodeDrained,
    said.NodeDeparted,
    said.NodeLost,
    said.ClusterDraining,
    said.ClusterReturned,
)
_OF_ATTEMPTS = (said.AttemptStarted, said.AttemptFailed, said.AttemptClosed, said.JobSucceeded)

_HEARD: dict[str, Callable[[WaitTracker, Any, int], None]] = {
    "StartForecast": WaitTracker._forecast_made,
    "JobDispatched": WaitTracker._dispatched,
    "AttemptStarted": WaitTracker._start,
    "JobCancelling": WaitTracker._cancelling,
    "AttemptFailed": WaitTracker._closed,
    "AttemptClosed": WaitTracker._closed,
    "JobRequeued": WaitTracker._requeued,
}


def _slo_ms(state: State, before: tuple[Event, ...], tier: str) -> int:
    """The tier's SLO in force after these events of the next batch."""
    slo_ms = state.slos.get(tier, 0)
    for event in before:
        if isinstance(event, said.PolicyAdopted | said.PolicyReverted) and tier in event.policy.tiers:
            slo_ms = event.policy.tiers[tier].slo_ms
    return slo_ms
