"""No input that a door takes leads to more events than a ledger record has room for (design, rule 7)."""

from __future__ import annotations

import msgspec
import pytest

from contract.batch import BATCH_BYTES_MAX, ONE_INPUT_BYTES_MAX
from contract.bounds import HELD_MAX, RECORD_BYTES_MAX, SLOTS_MAX
from contract.codec import encode
from contract.events import AttemptClosed, AttemptFailed, InputsRefused, PolicyAdopted, ReportStale
from contract.inputs import (
    AliasMoved,
    Body,
    Failed,
    NodeHeartbeat,
    NodeLeft,
    NodeReport,
    PolicyApplied,
    Started,
    Submission,
    VersionPublished,
)
from contract.names import dispatch_order, job_id
from contract.policy import UNLIMITED, Cluster, Policy, Tier, fingerprint
from contract.policy import Pool as PolicyPool
from scheduling.attempts.retries import WORKER_LOSSES_MAX
from tests.unit.scheduling.specification import CPU, Pool, a_join, only, version_of

LONG = "x" * 62
POOL, NODE, CLUSTER, TENANT, TIER, SESSION = (f"{letter}{LONG}" for letter in "pncutS")
POLICY = Policy({TIER: Tier(1_000)}, {POOL: PolicyPool(0)}, {CLUSTER: Cluster(POOL, UNLIMITED)}, failures_max=99)


def full() -> Pool:
    """A node that holds as many attempts as any node may, half of them started, and all names as long as names may
    be."""
    pool = Pool(POLICY, name=POOL)
    pool.tell(VersionPublished("m", version_of("m"), CPU, 60_000), AliasMoved("m", "live", version_of("m"), 1))
    pool.join(NODE, CLUSTER, SLOTS_MAX, SESSION, holds=HELD_MAX)
    jobs = [job_id(POOL, str(number)) for number in range(HELD_MAX)]
    for first in range(0, HELD_MAX, 64):
        pool.tell(
            *(Submission(job, TENANT, TIER, "m", "sha256:" + "d" * 64, "api") for job in jobs[first : first + 64])
        )
    held = sorted(pool.state.node_attempts[NODE].values(), key=lambda attempt: dispatch_order(attempt.dispatch))
    assert len(held) == HELD_MAX
    pool.tell(NodeReport(NODE, SESSION, tuple(Started(a.job, a.dispatch) for a in held[: HELD_MAX // 2])))
    return pool


def checked(pool: Pool, body: Body) -> None:
    """Tells the pool. Every record that follows must be within bounds, and so must the events of the input alone."""
    before = len(pool.records)
    assert len(encode(body)) <= RECORD_BYTES_MAX
    pool.tell(body)
    assert sum(len(encode(event)) + 1 for event in pool.batches[before].events) <= ONE_INPUT_BYTES_MAX
    assert max(map(len, pool.records[before:])) <= BATCH_BYTES_MAX


def test_a_restart_of_a_node_that_holds_all_it_may() -> None:
    pool = full()
    cached = tuple(version_of(str(number)) for number in range(RECORD_BYTES_MAX // 76))
    checked(pool, a_join(NODE, CLUSTER, SLOTS_MAX, f"T{LONG}", holds=HELD_MAX, cached=cached))
    assert len(only(pool.events, AttemptClosed)) == HELD_MAX


def test_leaving_with_all_that_it_may_hold() -> None:
    pool = full()
    checked(pool, NodeLeft(NODE, SESSION))
    assert len(only(pool.events, AttemptClosed)) == HELD_MAX


def test_heartbeats_that_list_nothing_of_it() -> None:
    pool = full()
    cached = tuple(version_of(str(number)) for number in range(RECORD_BYTES_MAX // 76))
    for number in range(3):
        checked(pool, NodeHeartbeat(NODE, SESSION, cached=cached[number:]))
    assert len(only(pool.events, AttemptClosed)) == HELD_MAX // 2


def test_a_report_that_all_of_it_failed() -> None:
    pool = full()
    held = list(pool.state.node_attempts[NODE].values())
    error = "E" * 80
    checked(pool, NodeReport(NODE, SESSION, tuple(Failed(a.job, a.dispatch, "model_error", error) for a in held)))
    assert len(only(pool.events, AttemptFailed)) == HELD_MAX


def test_as_many_stray_reports_as_a_record_holds() -> None:
    pool = full()
    stray = Started("", "")
    reports = (stray,) * ((RECORD_BYTES_MAX - 300) // (len(encode(stray)) + 1))
    checked(pool, NodeReport(NODE, SESSION, reports))
    assert len(only(pool.events, ReportStale)) == len(reports)


def test_a_worker_that_takes_all_media_with_it_for_the_last_time() -> None:
    """As many preparations as a worker has slots, each of media over which four workers were lost before."""
    clusters = {**POLICY.clusters, "w" + LONG: Cluster(POOL, UNLIMITED, kind="prepare")}
    pool = Pool(msgspec.structs.replace(POLICY, clusters=clusters, backoff_ms=1), name=POOL)
    published = VersionPublished("m", version_of("m"), CPU, 60_000, prepares=version_of("rules"))
    pool.tell(published, AliasMoved("m", "live", version_of("m"), 1))
    pool.join(NODE, "w" + LONG, SLOTS_MAX, SESSION, kind="prepare")
    jobs = [job_id(POOL, str(number)) for number in range(SLOTS_MAX)]
    pool.tell(*(Submission(job, TENANT, TIER, "m", "sha256:" + "d" * 64, "api", media=1) for job in jobs))
    for life in range(1, WORKER_LOSSES_MAX + 1):
        assert len(pool.state.node_attempts[NODE]) == SLOTS_MAX
        checked(pool, a_join(NODE, "w" + LONG, SLOTS_MAX, f"{life}{LONG}", kind="prepare"))
        pool.tick(100)
    assert len(only([event for batch in pool.batches for event in batch.events], InputsRefused)) == SLOTS_MAX


@pytest.mark.parametrize("tenants", [700, 20_000])
def test_a_policy_as_large_as_policies_are_and_one_that_is_larger(tenants: int) -> None:
    weights = {f"tenant-{number:056}": 2 for number in range(tenants)}
    policy = msgspec.structs.replace(POLICY, tenant_weights=weights)
    pool = full()
    pool.tell(PolicyApplied(policy, fingerprint(policy)))
    assert len(only(pool.events, PolicyAdopted)) == (tenants == 700)
