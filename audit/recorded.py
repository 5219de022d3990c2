"""What a simulation needs of a ledger: who asked for what and when, how long it ran, and which machines there were.

A job's run time is that of its successful attempt, from its start to its end, the loading of its version included if
it was loaded then. Jobs without a result are counted and left out. Reading ends at the first damage: what was recorded
before it is used, and the damage is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from audit.arrivals import Arrivals
from audit.fleet import Fleet, Machine
from audit.past import Damage, Past, Walk, said_of
from contract import events as said
from contract import inputs
from contract.batch import Batch
from contract.inputs import Body, VersionPublished
from contract.policy import Policy
from scheduling.state import initial_state


class LedgerEmpty(LookupError):
    """Nothing in the ledger can be simulated. The message says what was found."""


class Recorded(msgspec.Struct):
    pool: str
    arrivals: Arrivals
    """Jobs with a result; their models are versions' digests."""
    start_ms: list[int]
    """When each really started first."""
    end_ms: list[int]
    versions: dict[str, VersionPublished]
    """By digest."""
    policies: list[tuple[int, Policy]]
    """As they were adopted; the first is there from the beginning."""
    operations: list[tuple[int, Body]]
    """What else operators said, and when: drains of clusters and their ends."""
    fleet: Fleet
    left_out: dict[str, int]
    """Jobs without a result, by how they ended."""
    damage: Damage | None = None


def recorded(past: Past) -> Recorded:
    """Reads a ledger from its beginning as far as it can be believed. LedgerEmpty when there is nothing to simulate."""
    walk = Walk(past, initial_state(past.pool))
    reading = _Reading(past.pool)
    for batch in walk.believed():
        reading.take(batch)
    return reading.result(walk.damage)


class _Life(msgspec.Struct):
    """A job, until its result."""

    submitted_ms: int
    tier: str
    tenant: str
    version: str
    first_start_ms: int = -1
    start_ms: int = -1
    end_ms: int = -1
    ended: str = "waits or runs still"


_ENDINGS: dict[type, str] = {
    said.JobCancelled: "cancelled",
    said.JobExpired: "expired",
    said.JobDeadLettered: "dead-lettered",
    said.JobQuarantined: "quarantined",
}


class _Reading:
    def __init__(self, pool: str) -> None:
        self.pool = pool
        self._lives: dict[str, _Life] = {}
        self._versions: dict[str, VersionPublished] = {}
        self._policies: list[tuple[int, Policy]] = []
        self._operations: list[tuple[int, Body]] = []
        self._fleet = Fleet()
        self._heard_ms: dict[str, int] = {}
        """When each node was heard last."""
        self._now_ms = 0
        self._takes: dict[type, Callable[[Any], None]] = {
            said.PolicyAdopted: self._policy,
            said.PolicyReverted: self._policy,
            said.VersionRegistered: self._version,
            said.JobAccepted: self._accepted,
            said.AttemptStarted: self._started,
            said.JobSucceeded: self._succeeded,
            said.NodeAdmitted: self._admitted,
            said.NodeDrained: self._drained,
            said.NodeLost: self._lost,
        }

    def take(self, batch: Batch) -> None:
        self._now_ms = batch.now_ms
        for record in batch.inputs:
            if isinstance(record.body, inputs.ClusterDrainRequested | inputs.ClusterActivated):
                self._operations.append((batch.now_ms, record.body))
            elif isinstance(record.body, inputs.NodeHeartbeat | inputs.NodeReport):
                self._heard_ms[record.body.node] = batch.now_ms
        for event in batch.events:
            take = self._takes.get(type(event))
            if take is not None:
                take(event)
            elif type(event) in _ENDINGS:
                self._lives[event.job].ended = _ENDINGS[type(event)]  # type: ignore[union-attr]

    def _policy(self, event: said.PolicyAdopted | said.PolicyReverted) -> None:
        self._policies.append((self._now_ms, event.policy))

    def _version(self, event: said.VersionRegistered) -> None:
        self._versions[event.version] = VersionPublished(
            event.model, event.version, event.requirements, event.timeout_ms
        )

    def _accepted(self, event: said.JobAccepted) -> None:
        self._lives[event.job] = _Life(event.submitted_ms, event.tier, event.tenant, event.version)

    def _started(self, event: said.AttemptStarted) -> None:
        life = self._lives[event.job]
        life.start_ms = self._now_ms
        if life.first_start_ms < 0:
            life.first_start_ms = self._now_ms

    def _succeeded(self, event: said.JobSucceeded) -> None:
        life = self._lives[event.job]
        life.end_ms, life.ended = self._now_ms, ""

    def _admitted(self, event: said.NodeAdmitted) -> None:
        self._heard_ms[event.node] = self._now_ms
        self._fleet.join(
            self._now_ms,
            Machine(
                event.node,
                event.cluster,
                event.slots,
                event.chipset,
                event.gpus,
                event.memory_mib,
                cached=event.cached,
            ),
        )

    def _drained(self, event: said.NodeDrained) -> None:
        self._fleet.leave(self._now_ms, event.node)

    def _lost(self, event: said.NodeLost) -> None:
        """It was last heard then; what it did after that nobody knows."""
        self._fleet.lose(self._heard_ms[event.node], event.node)

    def result(self, damage: Damage | None) -> Recorded:
        left_out = Counter(life.ended for life in self._lives.values() if life.ended)
        done = [(job, life) for job, life in self._lives.items() if not life.ended]
        done.sort(key=lambda entry: entry[1].submitted_ms)
        if not done or not self._policies:
            raise LedgerEmpty(
                f"expected jobs with a result in the ledger of pool {self.pool}, found none"
                f" ({len(self._lives)} accepted); there is nothing to simulate"
                + (f"; {said_of(damage)}" if damage is not None else "")
            )
        arrivals = Arrivals()
        for job, life in done:
            arrivals.add(life.submitted_ms, life.tier, life.tenant, life.version, life.end_ms - life.start_ms)
            arrivals.jobs.append(job)
        return Recorded(
            pool=self.pool,
            arrivals=arrivals,
            start_ms=[life.first_start_ms for _, life in done],
            end_ms=[life.end_ms for _, life in done],
            versions=self._versions,
            policies=self._policies,
            operations=self._operations,
            fleet=self._fleet,
            left_out=dict(sorted(left_out.items())),
            damage=damage,
        )
