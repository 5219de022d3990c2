"""Jobs of a withdrawn version leave their lines in one pass, and what else is in these lines stays as it was. The pool
checks its invariants after each batch: which jobs stand in which line, stand aside, avoid a node, or are shelved."""

from __future__ import annotations

import msgspec
import pytest

from contract.inputs import AliasMoved, Requirements, WithdrawRequested
from contract.policy import DISCIPLINES
from tests.unit.scheduling.dispatched import picked
from tests.unit.scheduling.specification import CPU, POLICY, Pool, a_job, submission, version_of

BAD = version_of("shapes/v1")
LATE_MS = POLICY.tiers["free"].slo_ms + 1


def withdraw(pool: Pool, model: str = "shapes", version: str = BAD) -> None:
    pool.tell(WithdrawRequested(model, version))


@pytest.mark.parametrize("discipline", DISCIPLINES)
def test_late_jobs_and_jobs_in_time_are_shelved_by_age(discipline: str) -> None:
    """And stay so when the discipline changes."""
    pool = Pool(msgspec.structs.replace(POLICY, discipline=discipline))
    pool.publish()
    pool.publish("other")
    for number in (1, 2, 3, 4):
        pool.tell(submission(number, model="shapes" if number % 2 else "other"), after_ms=LATE_MS // 2)
    withdraw(pool)
    (queue,) = pool.state.shelved.values()
    assert [job for _, job in queue.entries] == [a_job(1), a_job(3)]
    for other in DISCIPLINES:
        pool.adopt(msgspec.structs.replace(POLICY, discipline=other))
    pool.join("n1", slots=4)
    assert sorted(picked(pool)) == [a_job(2), a_job(4)]


def test_a_tenants_next_job_is_on_offer_when_its_first_is_shelved() -> None:
    pool = Pool()
    pool.publish()
    pool.publish("other")
    tenants = ("acme", "globex", "initech")
    for number in range(6):
        said = submission(number, model="shapes" if number < 3 else "other")
        pool.tell(msgspec.structs.replace(said, tenant=tenants[number % 3]), after_ms=5)
    withdraw(pool)
    pool.join("n1", slots=6)
    assert picked(pool) == [a_job(3), a_job(4), a_job(5)]


@pytest.mark.parametrize("stands_aside", [False, True])
def test_a_shelved_job_avoids_no_node(stands_aside: bool) -> None:
    """Job 1 failed on n1. While n2 is full and n1 is not, the job stands aside."""
    clusters = {name: msgspec.structs.replace(entry, staged_per_slot=0) for name, entry in POLICY.clusters.items()}
    pool = Pool(msgspec.structs.replace(POLICY, clusters=clusters))
    pool.publish()
    pool.publish("other")
    pool.join("n1")
    pool.tell(submission(1))
    pool.start(a_job(1))
    pool.join("n2", "west")
    pool.tell(submission(2, model="other"), *([] if stands_aside else [submission(3, model="other")]))
    pool.start(a_job(2), "n2")
    pool.fail(a_job(1))
    pool.tick(10_000)
    assert pool.state.avoiders
    assert bool(pool.state.aside) == stands_aside
    withdraw(pool)
    assert (pool.state.avoiders, pool.state.aside) == ({}, {})
    assert [job for queue in pool.state.shelved.values() for _, job in queue.entries] == [a_job(1)]


def test_nobody_takes_a_version_of_another_model() -> None:
    pool = Pool()
    pool.publish()
    other = pool.publish("other")
    pool.tell(submission(1))
    withdraw(pool, "other", BAD)
    assert not pool.state.withdrawn, "it is not a version of that model"
    withdraw(pool)
    pool.tell(AliasMoved("shapes", "live", other, 2))
    assert pool.job(a_job(1)).version == BAD


def test_a_job_that_is_pinned_anew_runs_as_long_as_its_new_version() -> None:
    pool = Pool()
    pool.publish()
    pool.publish(requirements=Requirements(("cuda",), 0), version="v2", move=2)
    pool.join("n1")
    pool.tell(submission(1, model=f"shapes@{BAD}"))
    pool.start(a_job(1))
    pool.tick(7_000)
    pool.succeed(a_job(1))
    pool.publish(requirements=CPU, version="v1", move=3)
    pool.leave()
    pool.tell(submission(2))
    assert pool.job(a_job(2)).expected_ms >= 7_000
    pool.publish(version="v3", move=4)
    withdraw(pool)
    assert (pool.job(a_job(2)).version, pool.job(a_job(2)).expected_ms) == (version_of("shapes/v3"), 0)
