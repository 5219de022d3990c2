"""What a simulation needs of a ledger: who asked for what and when, how long each job ran, which machines there were.

A job's run time is that of its successful attempt, from start to end; if the attempt loaded its version, that time
included. Jobs without a result are counted and left out. Reading ends at the first damage: what was recorded before the
damage is used, and the damage is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from audit.ledger.damage import Damage, said_of
from audit.ledger.past import LedgerPast
from audit.ledger.walk import Walk
from contract import events as said
from contract import inputs
from contract.batch import Batch
from contract.inputs import Body, VersionPublished
from contract.lifecycle import JobState
from contract.names import job_id
from contract.policy import Policy
from scheduling.state.capacity import PREPARE
from scheduling.state.pool import State, initial_state
from whatif.simulation.arrivals import Arrivals
from whatif.simulation.machines import Fleet, Machine

OPEN = "waits or runs still"


class LedgerEmpty(LookupError):
    """Nothing in the ledger can be simulated. The message says what was found."""


class Recorded(msgspec.Struct):
    """A ledger as a simulation takes it."""

    pool: str
    arrivals: Arrivals
    """Jobs with a result; as model each has the digest of its version."""
    start_ms: list[int]
    """When each job really started first."""
    end_ms: list[int]
    versions: dict[str, VersionPublished]
    """Versions by digest."""
    policies: list[tuple[int, Policy]]
    """(when it was adopted, policy); the first policy is in force from the beginning."""
    operations: list[tuple[int, Body]]
    """(when, what) operators said else: drains of clusters and their ends."""
    fleet: Fleet
    left_out: dict[str, int]
    """Jobs without a result, by how they ended."""
    damage: Damage | None = None


def recorded(past: LedgerPast) -> Recorded:
    """Reads a ledger from its beginning as far as it can be believed. LedgerEmpty when there is nothing to simulate."""
    walk = Walk(past, initial_state(past.pool))
    recorder = Recorder(past.pool)
    for batch in walk.believed():
        recorder.take(batch)
    return recorder.result(walk.damage)


class Life(msgspec.Struct):
    """One life of a job, up to its result."""

    submitted_ms: int
    tier: str
    tenant: str
    version: str
    first_start_ms: int = -1
    start_ms: int = -1
    end_ms: int = -1
    ended: str = OPEN
    """How the job ended without a result; empty: it has a result."""
    prepared_ms: int = -1
    """When its media were prepared for the first time; -1: they were not, or it names none."""

    @property
    def arrives_ms(self) -> int:
        """When the job comes to its line. A preparation is taken as it was recorded: no policy changes how long one
        takes."""
        return max(self.submitted_ms, self.prepared_ms)

    @property
    def run_ms(self) -> int:
        """Run time of the successful attempt."""
        return self.end_ms - self.start_ms


_ENDINGS: dict[type, str] = {
    said.JobCancelled: "cancelled",
    said.JobExpired: "expired",
    said.JobDeadLettered: "dead-lettered",
    said.JobQuarantined: "quarantined",
    said.InputsRefused: "refused for their media",
}


def _ending(event: said.Event) -> str:
    if isinstance(event, said.JobCancelled) and event.reason == "version_withdrawn":
        return "ended with a withdrawn version"
    return _ENDINGS[type(event)]


OPERATIONS = (
    inputs.ClusterDrainRequested,
    inputs.ClusterActivated,
    inputs.HoldRequested,
    inputs.ReleaseRequested,
    inputs.NodeCordonRequested,
    inputs.NodeUncordonRequested,
)
"""What operators say of clusters, nodes and the pool. It happens in every what-if as it happened.

Withdrawals of versions do not: each job runs the version that it ran in the pool, because only that run time is known,
and a job that ended with its version is left out."""


class Recorder:
    """Takes the batches of a ledger in order and keeps what a simulation needs. Whoever follows a ledger without end
    takes out what has been used."""

    def __init__(self, pool: str, state: State | None = None) -> None:
        """Records from the ledger's beginning on, or from after `state` on."""
        self.pool = pool
        self.lives: dict[str, Life] = {}
        """Lives by job id, in the order in which the jobs were accepted."""
        self.versions: dict[str, VersionPublished] = {}
        self.policies: list[tuple[int, Policy]] = []
        self.operations: list[tuple[int, Body]] = []
        self.fleet = Fleet()
        self.heard_ms: dict[str, int] = {}
        """When each node was heard last."""
        self._workers: set[str] = set()
        """CPU workers, which run no attempt: a simulation has none."""
        self._now_ms = 0
        if state is not None:
            self._begin(state)
        self._takes: dict[type, Callable[[Any], None]] = {
            said.PolicyAdopted: self._policy,
            said.PolicyReverted: self._policy,
            said.VersionRegistered: self._version,
            said.JobAccepted: self._accepted,
            said.JobPreparing: self._accepted,
            said.InputsPrepared: self._prepared,
            said.JobRepinned: self._repinned,
            said.AttemptStarted: self._started,
            said.JobSucceeded: self._succeeded,
            said.NodeAdmitted: self._admitted,
            said.NodeDrained: self._left,
            said.NodeDeparted: self._left,
            said.NodeLost: self._lost,
        }

    def _begin(self, state: State) -> None:
        self._now_ms = state.now_ms
        self.heard_ms = dict.fromkeys(state.nodes, state.now_ms)
        self._workers = {name for name, node in state.nodes.items() if node.kind == PREPARE}
        for version in state.versions.values():
            self.versions[version.version] = VersionPublished(
                version.model, version.version, version.requirements, version.timeout_ms
            )
        for job in state.jobs.values():
            life = self.lives[job.job] = Life(job.submitted_ms, job.tier, job.tenant, job.version)
            if job.media and job.state is not JobState.PREPARING:
                life.prepared_ms = 0  # the exact moment lies before the state
            if job.open is not None and job.open.started:
                life.start_ms = job.open.started_ms
            if job.has_started:
                life.first_start_ms = max(life.start_ms, 0)  # the exact moment lies before the state

    def take(self, batch: Batch) -> None:
        self._now_ms = batch.now_ms
        undone = {event.offset for event in batch.events if isinstance(event, said.InputQuarantined)}
        for record in batch.inputs:
            if record.offset in undone:
                continue
            if isinstance(record.body, OPERATIONS):
                self.operations.append((batch.now_ms, record.body))
            elif isinstance(record.body, inputs.NodeHeartbeat | inputs.NodeReport):
                self.heard_ms[record.body.node] = batch.now_ms
        for event in batch.events:
            take = self._takes.get(type(event))
            if take is not None:
                take(event)
            elif type(event) in _ENDINGS:
                self.lives[event.job].ended = _ending(event)  # type: ignore[union-attr]

    def _policy(self, event: said.PolicyAdopted | said.PolicyReverted) -> None:
        """A policy that was once in force is simulated, even if it does not say may_starve: releases before rules 3 did
        not ask for that."""
        self.policies.append((self._now_ms, msgspec.structs.replace(event.policy, may_starve=True)))

    def _version(self, event: said.VersionRegistered) -> None:
        self.versions[event.version] = VersionPublished(
            event.model, event.version, event.requirements, event.timeout_ms
        )

    def _accepted(self, event: said.JobAccepted | said.JobPreparing) -> None:
        """An id that comes again after it was forgotten is another job. The job before it keeps its place, under a made
        name that nobody asks for."""
        before = self.lives.pop(event.job, None)
        if before is not None:
            self.lives[job_id(self.pool, "life", event.job, str(before.submitted_ms))] = before
        self.lives[event.job] = Life(event.submitted_ms, event.tier, event.tenant, event.version)

    def _prepared(self, event: said.InputsPrepared) -> None:
        life = self.lives.get(event.job)
        if life is not None and life.prepared_ms < 0:
            life.prepared_ms = self._now_ms

    def _repinned(self, event: said.JobRepinned) -> None:
        self.lives[event.job].version = event.version

    def _started(self, event: said.AttemptStarted) -> None:
        life = self.lives[event.job]
        life.start_ms = self._now_ms
        if life.first_start_ms < 0:
            life.first_start_ms = self._now_ms

    def _succeeded(self, event: said.JobSucceeded) -> None:
        life = self.lives[event.job]
        life.end_ms, life.ended = self._now_ms, ""

    def _admitted(self, event: said.NodeAdmitted) -> None:
        self.heard_ms[event.node] = self._now_ms
        if event.kind == PREPARE:
            self._workers.add(event.node)
            return
        self._workers.discard(event.node)
        self.fleet.join(
            self._now_ms,
            Machine(
                event.node,
                event.cluster,
                event.slots,
                event.chipset,
                event.gpus,
                event.memory_mib,
                cached=event.cached,
                holds=event.holds,
            ),
        )

    def _left(self, event: said.NodeDrained | said.NodeDeparted) -> None:
        """A node that is put out departs without having drained."""
        if event.node in self._workers:
            return
        self.fleet.leave(self._now_ms, event.node)

    def _lost(self, event: said.NodeLost) -> None:
        """The machine is lost at the moment when it was last heard: nobody knows what it did after that."""
        if event.node in self._workers:
            return
        self.fleet.lose(self.heard_ms[event.node], event.node)

    def result(self, damage: Damage | None) -> Recorded:
        left_out = Counter(life.ended for life in self.lives.values() if life.ended)
        done = [(job, life) for job, life in self.lives.items() if not life.ended]
        done.sort(key=lambda entry: entry[1].arrives_ms)
        if not done or not self.policies:
            raise LedgerEmpty(
                f"expected jobs with a result in the ledger of pool {self.pool}, found none"
                f" ({len(self.lives)} accepted); there is nothing to simulate"
                + (f"; {said_of(damage)}" if damage is not None else "")
            )
        arrivals = Arrivals()
        for job, life in done:
            before_ms = life.arrives_ms - life.submitted_ms
            arrivals.add(life.arrives_ms, life.tier, life.tenant, life.version, life.run_ms, before_ms)
            arrivals.jobs.append(job)
        return Recorded(
            pool=self.pool,
            arrivals=arrivals,
            start_ms=[life.first_start_ms for _, life in done],
            end_ms=[life.end_ms for _, life in done],
            versions=self.versions,
            policies=self.policies,
            operations=self.operations,
            fleet=self.fleet,
            left_out=dict(sorted(left_out.items())),
            damage=damage,
        )
