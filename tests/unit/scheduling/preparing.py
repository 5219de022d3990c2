"""Given a pool with CPU workers: what tests of preparations say often."""

from __future__ import annotations

from typing import Any

import msgspec

from contract.events import Event, PreparationOrdered
from contract.inputs import AliasMoved, NodeReport, VersionPublished
from contract.policy import Cluster, Policy
from contract.preparation_reports import PreparationDone, PreparationRefused, PreparationStopped
from tests.unit.scheduling.specification import (
    CPU,
    MANIFEST,
    POLICY,
    POOL,
    Kind,
    Pool,
    a_job,
    only,
    submission,
    version_of,
)

RULES_A, RULES_B = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def preparing_policy(limit: int = 4, **more: Any) -> Policy:
    clusters = {**POLICY.clusters, "cpus": Cluster(POOL, limit, kind="prepare")}
    return msgspec.structs.replace(POLICY, clusters=clusters, **more)


class PreparingPool(Pool):
    """A pool with a cluster of CPU workers and a model `edit` that takes media."""

    def __init__(self, policy: Policy | None = None, *, workers: int = 1, slots: int = 1) -> None:
        self.policy = policy or preparing_policy()
        super().__init__(self.policy)
        self.publish_edit()
        for number in range(workers):
            self.join_worker(f"w{number + 1}", slots)

    def publish_edit(self, version: str = "v1", move: int = 1, prepares: str = RULES_A) -> str:
        digest = version_of(f"edit/{version}")
        published = VersionPublished("edit", digest, CPU, 60_000, prepares=prepares)
        self.tell(published, AliasMoved("edit", "live", digest, move))
        return digest

    def join_worker(self, node: str, slots: int = 1, session: str = "s1", **more: Any) -> list[Event]:
        return self.join(node, "cpus", slots, session, kind="prepare", **more)

    def submit(self, number: int, tier: str = "free", media: int = 1, **more: Any) -> list[Event]:
        return self.tell(submission(number, tier, more.pop("model", "edit"), media=media, **more), after_ms=1)

    def say(self, *reports: PreparationDone | PreparationRefused | PreparationStopped) -> list[Event]:
        """The worker that prepares the job of the first report says these."""
        attempt = self.attempt(reports[0].job)
        return self.tell(NodeReport(attempt.node, attempt.session, reports))

    def prepared(self, number: int) -> list[Event]:
        job = a_job(number)
        return self.say(PreparationDone(job, self.dispatch(job), MANIFEST, 9, 1, 2, 3))

    def refused(self, number: int, kind: str = "too_long") -> list[Event]:
        job = a_job(number)
        return self.say(PreparationRefused(job, self.dispatch(job), kind))

    def stopped(self, number: int, reason: str) -> list[Event]:
        job = a_job(number)
        return self.say(PreparationStopped(job, self.dispatch(job), reason))


def events_of(pool: Pool, kind: type[Kind]) -> list[Kind]:
    """Every event of this class so far."""
    return [event for batch in pool.batches for event in only(batch.events, kind)]


def ordered(pool: Pool) -> list[tuple[str, str]]:
    """The job and the worker of every preparation so far, in order."""
    return [(event.job, event.node) for event in events_of(pool, PreparationOrdered)]
