"""The second book of turns before CPU workers: whose media are prepared next (I11).

The tier whose oldest job has waited the largest part of its objective goes first; but of so many orders one belongs to
the job that has been overdue the longest. Within the tier the tenants take
turns: each has a tag, which the cost of its picks moves on, and the least tag goes first. A tag that lies behind the
tier's virtual time counts as that time. Times are compared as fractions.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction
from heapq import heappop, heappush

import msgspec

from contract.policy import Policy

UNIT = 720_720
"""What one pick costs a tenant of weight 1."""
TURN = 32
"""One order of so many belongs to the job that has been overdue the longest, if there is one."""
Place = tuple[str, str]
"""(tier, tenant)."""


class OpenPreparation(msgspec.Struct):
    id: str
    node: str
    session: str


class MediaJob(msgspec.Struct):
    """A job that names media, from JobPreparing to its end."""

    job: str
    tier: str
    tenant: str
    version: str
    submitted_ms: int
    open: OpenPreparation | None = None
    prepared: str = ""
    """The preparation whose inputs the job has."""
    was_ordered: bool = False
    losses: int = 0
    stands: bool = False
    """The job waits for a CPU worker: it does not rest."""
    rests_until_ms: int = 0
    """Lease time from which the job may be prepared."""
    drops: str = ""
    """Why the job's inputs serve it no more, and have to be dropped at once."""

    @property
    def place(self) -> tuple[str, str]:
        return self.tier, self.tenant


class TurnBook:
    """Told which jobs wait for a CPU worker; says whose turn it is."""

    def __init__(self) -> None:
        self.withdrawn: set[str] = set()
        """Versions that were withdrawn: their jobs wait, and may not be taken."""
        self._queues: dict[Place, list[tuple[int, str]]] = {}
        """Submit time and id of the jobs that may be taken, the oldest first."""
        self._aside: Counter[Place] = Counter()
        """Jobs that wait and may not be taken."""
        self._resting: list[tuple[int, str, MediaJob]] = []
        self._since = 0
        """Orders since the last one of the job that was overdue the longest."""
        self._tags: dict[Place, int] = {}
        self._virtual: Counter[str] = Counter()

    # -- who waits ------------------------------------------------------------------------------------------------

    def enter(self, job: MediaJob) -> None:
        """The job waits from now on."""
        job.stands = True
        if job.version in self.withdrawn:
            self._aside[job.place] += 1
        else:
            insort(self._queues.setdefault(job.place, []), (job.submitted_ms, job.job))

    def enter_from(self, job: MediaJob, eligible_lease_ms: int, lease_ms: int) -> None:
        """The job waits from then on; `lease_ms`: now."""
        if eligible_lease_ms > lease_ms:
            job.rests_until_ms = eligible_lease_ms
            heappush(self._resting, (eligible_lease_ms, job.job, job))
        else:
            self.enter(job)

    def wake(self, lease_ms: int) -> None:
        """Lease time went on: jobs that have rested wait."""
        while self._resting and self._resting[0][0] <= lease_ms:
            until_ms, _, job = heappop(self._resting)
            if job.rests_until_ms == until_ms:
                job.rests_until_ms = 0
                self.enter(job)

    def leave(self, job: MediaJob) -> None:
        """The job waits no more, if it did, and rests no more."""
        job.rests_until_ms = 0
        if not job.stands:
            return
        job.stands = False
        if job.version in self.withdrawn:
            self._aside[job.place] -= 1
            return
        queue = self._queues[job.place]
        del queue[bisect_left(queue, (job.submitted_ms, job.job))]
        if not queue:
            del self._queues[job.place]

    def withdraw(self, version: str, jobs: Iterable[MediaJob]) -> None:
        """Of all these jobs, those of the version stand aside from now on."""
        if version in self.withdrawn:
            return
        waiting = [job for job in jobs if job.version == version and job.stands]
        for job in waiting:
            self.leave(job)
        self.withdrawn.add(version)
        for job in waiting:
            self.enter(job)

    # -- whose turn it is -----------------------------------------------------------------------------------------

    def _oldest(self) -> dict[str, tuple[int, str]]:
        """Submit time and id of the oldest job of each tier."""
        oldest: dict[str, tuple[int, str]] = {}
        for (tier, _), queue in self._queues.items():
            oldest[tier] = min(oldest.get(tier, queue[0]), queue[0])
        return oldest

    def _overdue(self, now_ms: int, slos: Mapping[str, int], policy: Policy | None) -> str:
        """The job that was the first to have waited so many objectives; empty: none has."""
        times = policy.promise_max if policy is not None else 0
        due = [(at_ms + times * slos[tier], job) for tier, (at_ms, job) in self._oldest().items()]
        return min(((due_ms, job) for due_ms, job in due if due_ms <= now_ms), default=(0, ""))[1]

    def count(self, job: str, now_ms: int, slos: Mapping[str, int], policy: Policy | None) -> None:
        """A preparation of this job, which waits, is ordered."""
        self._since = 0 if job == self._overdue(now_ms, slos, policy) else min(self._since + 1, TURN - 1)

    def next(self, now_ms: int, slos: Mapping[str, int], policy: Policy | None) -> str:
        """The job whose turn it is; empty when none waits."""
        oldest = self._oldest()
        if not oldest:
            return ""
        if self._since == TURN - 1 and (overdue := self._overdue(now_ms, slos, policy)):
            return overdue
        tier = min(oldest, key=lambda name: (-Fraction(now_ms - oldest[name][0], slos[name]), oldest[name][1]))
        return min((self._tag(place), *queue[0]) for place, queue in self._queues.items() if place[0] == tier)[2]

    def charge(self, job: MediaJob, policy: Policy | None) -> None:
        """A job that waits is taken for the first time, and its tenant pays."""
        place = tier, tenant = job.place
        start = self._tag(place)
        weight = policy.tenant_weights.get(tenant, 1) if policy is not None else 1
        waiting = len(self._queues.get(place, ())) + self._aside[place]
        picks = 1 + policy.tenant_burst_penalty if policy is not None and waiting > policy.tenant_burst else 1
        self._tags[place] = start + max(1, picks * UNIT // weight)
        if start > self._virtual[tier]:
            self._virtual[tier] = start
            for other in [other for other, tag in self._tags.items() if other[0] == tier and tag <= start]:
                del self._tags[other]

    def _tag(self, place: Place) -> int:
        return max(self._tags.get(place, 0), self._virtual[place[0]])
