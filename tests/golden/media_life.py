"""The part of the golden ledger in which media are prepared."""

from __future__ import annotations

import msgspec

from contract.inputs import (
    AliasMoved,
    ClusterDrainRequested,
    NodeReport,
    Requirements,
    VersionPublished,
    WithdrawRequested,
)
from contract.policy import Cluster
from contract.preparation_reports import PreparationDone, PreparationRefused, PreparationStopped
from tests.unit.scheduling.specification import POLICY, POOL, Pool, submission, version_of

PREPARED = "sha256:" + "f" * 64
WORKERS = ("q1", "q2")


def media(pool: Pool) -> None:
    """Jobs with media of three tenants: prepared, refused, given back, lost with their worker, cancelled and withdrawn
    while they are prepared, and with inputs that the store has lost."""
    clusters = {**POLICY.clusters, "cpus": Cluster(POOL, 3, kind="prepare")}
    pool.adopt(msgspec.structs.replace(POLICY, clusters=clusters, discipline="promise"))
    pool.adopt(msgspec.structs.replace(POLICY, clusters={**clusters, "cpus": Cluster(POOL, 3)}))
    _publish(pool, "v1", 1)
    pool.join("q1", "cpus")
    for node in WORKERS:
        pool.join(node, "cpus", slots=2, session="q", kind="prepare")
    for number in range(170, 180):
        tenant = ("acme", "zeta", "beta")[number % 3]
        pool.tell(submission(number, ("api", "free")[number % 2], "edit", media=1, tenant=tenant), after_ms=10)
    done(pool, 1)
    for job, reason in zip(_open(pool), ("outage", "unclaimed", "killed"), strict=False):
        _say(pool, job, PreparationStopped(job, pool.dispatch(job), reason))
    refused = _open(pool)[0]
    _say(pool, refused, PreparationRefused(refused, pool.dispatch(refused), "too_long"))
    cancelled = _open(pool)[0]
    pool.cancel(cancelled)
    pool.beat("q2", "q", after_ms=5_000)
    for _ in range(3):
        pool.beat("q2", "q", after_ms=9_000)
    pool.join("q1", "cpus", slots=2, session="q1", kind="prepare")
    pool.tell(ClusterDrainRequested("cpus", pool.now_ms + 1_000))
    pool.beat("q2", "q", after_ms=1_000)
    pool.adopt(msgspec.structs.replace(POLICY, discipline="promise"))
    pool.adopt(msgspec.structs.replace(POLICY, clusters=clusters, discipline="promise"))
    done(pool, 2)
    pool.join("e1", "west", session="e", chipset="npu2")
    job = min(pool.state.node_attempts["e1"])
    pool.start(job, "e1", "e")
    pool.fail(job, "inputs_missing", "e1", "e")
    version = _publish(pool, "v2", 2, prepares="sha256:" + "2" * 64)
    pool.tell(WithdrawRequested("edit", version_of("edit/v1")))
    for node, load in sorted(pool.state.node_attempts.items()):
        for held in [held for held in load.values() if not held.prepares and held.stop]:
            pool.stop(held.job, "recalled", node, held.session)
    assert any(job.version == version for job in pool.state.jobs.values())
    done(pool, 1)


def _publish(pool: Pool, version: str, move: int, prepares: str = "sha256:" + "1" * 64) -> str:
    digest = version_of(f"edit/{version}")
    needs = Requirements(("npu2",), 0)
    pool.tell(
        VersionPublished("edit", digest, needs, 60_000, prepares=prepares), AliasMoved("edit", "live", digest, move)
    )
    return digest


def done(pool: Pool, count: int) -> None:
    for job in _open(pool)[:count]:
        _say(pool, job, PreparationDone(job, pool.dispatch(job), PREPARED, 7_000, 40, 1, 300))


def _open(pool: Pool) -> list[str]:
    """Jobs of which a preparation is open, the oldest first."""
    jobs = (job for job in pool.state.jobs.values() if job.open is not None and job.open.prepares)
    return [job.job for job in sorted(jobs, key=lambda job: (job.submitted_ms, job.job))]


def _say(pool: Pool, job: str, report: PreparationDone | PreparationRefused | PreparationStopped) -> None:
    attempt = pool.attempt(job)
    pool.tell(NodeReport(attempt.node, attempt.session, (report,)), after_ms=100)
