"""What the second book finds of preparations in a ledger that was edited, and that it finds nothing in one that was
not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from audit.verify.second_book import SecondBook
from contract import events as said
from contract.inputs import Failed, NodeReport, WithdrawRequested
from contract.names import dispatch_id
from contract.policy import fingerprint
from contract.preparation_reports import PreparationDone
from tests.unit.audit.media_story import MediaStory
from tests.unit.scheduling.preparing import RULES_B, PreparingPool, preparing_policy
from tests.unit.scheduling.specification import MANIFEST, a_job, version_of

ONE, TWO = a_job(1), a_job(2)
Edit = Callable[[said.Event], Sequence[said.Event]]
Findings = list[tuple[str, str]]


def found(pool: PreparingPool, edit: Edit | None = None, batches_back: int = 1) -> Findings:
    """(invariant, text) of what the book finds from the edited batch on. Events are edited one by one."""
    book, place = SecondBook(), len(pool.batches) - batches_back
    for offset, batch in enumerate(pool.batches[:place]):
        assert book.take(offset, batch) == []
    findings = []
    for offset, batch in enumerate(pool.batches[place:], place):
        if edit is not None and offset == place:
            batch = msgspec.structs.replace(batch, events=tuple(new for event in batch.events for new in edit(event)))
        findings += [(finding.invariant, finding.text) for finding in book.take(offset, batch)]
    return findings


def changed(kind: type, /, **fields: Any) -> Edit:
    """Events of this kind say something else."""
    return lambda event: (msgspec.structs.replace(event, **fields) if isinstance(event, kind) else event,)


def without(*kinds: type) -> Edit:
    return lambda event: () if isinstance(event, kinds) else (event,)


def preceded_by(kind: type, other: said.Event) -> Edit:
    return lambda event: (other, event) if isinstance(event, kind) else (event,)


def two_submitted(**more: Any) -> PreparingPool:
    """A job with media, which the one worker prepares."""
    pool = PreparingPool(preparing_policy(**more))
    pool.join("n1")
    pool.submit(1)
    return pool


def invariants(findings: Findings) -> list[str]:
    return [invariant for invariant, _ in findings]


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_wrong_with_what_happened(seed: int) -> None:
    pool = MediaStory(seed).run(150)
    assert found(pool, batches_back=len(pool.batches)) == []


# -- whose turn it is ---------------------------------------------------------------------------------------------


def waiting(*jobs: tuple[str, str], **more: Any) -> PreparingPool:
    """Jobs of these tenants and tiers wait, and then a worker with room for them all comes."""
    pool = PreparingPool(preparing_policy(8, **more), workers=0)
    for number, (tenant, tier) in enumerate(jobs, 1):
        pool.submit(number, tier, tenant=tenant)
    pool.tick(1_000)
    pool.join_worker("w1", slots=4)
    return pool


def swapped(first: str, second: str) -> Edit:
    """The two jobs are prepared in each other's place."""
    other = {first: second, second: first}

    def edit(event: said.Event) -> Sequence[said.Event]:
        if isinstance(event, said.PreparationOrdered) and event.job in other:
            return (msgspec.structs.replace(event, job=other[event.job]),)
        return (event,)

    return edit


@pytest.mark.parametrize(
    ("jobs", "swap"),
    [
        ([("acme", "free"), ("acme", "free")], (1, 2)),
        ([("acme", "free"), ("acme", "api")], (1, 2)),
        ([("acme", "free"), ("acme", "free"), ("zeta", "free")], (2, 3)),
    ],
    ids=["the older one first", "the larger part of its objective first", "tenants in turn"],
)
def test_jobs_that_were_prepared_out_of_turn(jobs: list[tuple[str, str]], swap: tuple[int, int]) -> None:
    pool = waiting(*jobs)
    assert found(pool) == []
    findings = found(pool, swapped(a_job(swap[0]), a_job(swap[1])))
    assert any("when it was the turn of" in text for _, text in findings)


@pytest.mark.parametrize("more", [{"tenant_weights": {"acme": 2}}, {"tenant_burst": 2, "tenant_burst_penalty": 1}])
def test_weights_and_bursts_count_before_workers_too(more: dict[str, Any]) -> None:
    pool = waiting(*[("acme", "free")] * 4, *[("zeta", "free")] * 2, **more)
    assert found(pool) == []
    orders = [event.job for event in pool.events if isinstance(event, said.PreparationOrdered)]
    plain = waiting(*[("acme", "free")] * 4, *[("zeta", "free")] * 2)
    assert orders != [event.job for event in plain.events if isinstance(event, said.PreparationOrdered)]


def test_one_order_of_many_belongs_to_the_job_that_is_overdue_the_longest() -> None:
    """A job of the slow tier is overdue; jobs of the fast one have waited the larger part of their objective. No
    worker is there until all are."""
    pool = PreparingPool(preparing_policy(99, promise_max=1), workers=0)
    pool.submit(1, "free")
    pool.tick(95_000, lease_ms=9_000)
    for number in range(2, 42):
        pool.submit(number, "api")
    pool.tick(45_000, lease_ms=9_000)
    pool.join_worker("w1", slots=40)
    assert found(pool) == []
    orders = [event.job for event in pool.events if isinstance(event, said.PreparationOrdered)]
    assert orders.index(ONE) == 31
    findings = found(pool, swapped(ONE, orders[32]))
    assert any(f"when it was the turn of {ONE}" in text for _, text in findings)


def test_a_worker_without_a_free_slot() -> None:
    pool = two_submitted()
    pool.submit(2)
    batch = pool.batches[-1]
    name = dispatch_id(batch.epoch, batch.seq, len(batch.events))
    waited_ms = pool.now_ms - pool.job(TWO).submitted_ms
    second = said.PreparationOrdered(TWO, name, "w1", "s1", "cpus", waited_ms, 100_000, 4, 2)
    pool.batches[-1] = msgspec.structs.replace(batch, events=(*batch.events, second))
    assert found(pool) == [("I3", "its media were sent to w1, which has no free slot")]


@pytest.mark.parametrize("fields", [{"waited_ms": 7}, {"slo_ms": 7}])
def test_a_wait_that_was_not(fields: dict[str, int]) -> None:
    assert invariants(found(two_submitted(), changed(said.PreparationOrdered, **fields))) == ["I11"]


# -- where it goes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{"open": 2}, {"limit": 5}])
def test_a_limit_that_is_not_in_force(fields: dict[str, int]) -> None:
    assert invariants(found(two_submitted(), changed(said.PreparationOrdered, **fields))) == ["I3"]


def test_more_open_than_the_limit() -> None:
    """The third goes out while two are open, and the limit is 2."""
    pool = PreparingPool(preparing_policy(2), workers=3)
    for number in range(1, 4):
        pool.submit(number)
    pool.tick(100)
    batch = pool.batches[-1]
    third = said.PreparationOrdered(
        *(a_job(3), dispatch_id(batch.epoch, batch.seq, len(batch.events)), "w3", "s1", "cpus"),
        *(pool.now_ms - pool.job(a_job(3)).submitted_ms, 100_000, 2, 3),
    )
    pool.batches[-1] = msgspec.structs.replace(batch, events=(*batch.events, third))
    assert invariants(found(pool)) == ["I3"]


def test_an_attempt_at_a_worker() -> None:
    pool = two_submitted()
    pool.prepared(1)
    findings = found(pool, changed(said.JobDispatched, node="w1", cluster="cpus"))
    assert ("I3", "its attempt was sent to w1, which is a CPU worker") in findings


def test_a_preparation_at_a_node_for_attempts() -> None:
    findings = found(two_submitted(), changed(said.PreparationOrdered, node="n1", cluster="east"))
    assert findings == [("I3", "its media were sent to n1, which is no CPU worker")]


def test_a_node_of_another_kind_than_its_cluster() -> None:
    pool = PreparingPool()
    assert invariants(found(pool, changed(said.NodeAdmitted, kind="run"))) == ["I16"]


def test_a_session_that_no_worker_has() -> None:
    assert invariants(found(two_submitted(), changed(said.PreparationOrdered, session="s0"))) == ["I3"]


def test_a_worker_that_is_cordoned_or_revoked() -> None:
    pool = two_submitted()
    cordoned = preceded_by(said.JobPreparing, said.NodeCordoned("w1", "cpus", "operator", actor="operator.ada"))
    text = "sent to w1, which is cordoned (operator) and was not free for a try"
    assert ("I11", text) in found(pool, cordoned)
    policy = preparing_policy(revoked=("node.cpus/w1",))
    revoked = preceded_by(said.JobPreparing, said.PolicyAdopted(policy, fingerprint(policy)))
    assert ("I3", "sent to w1, which is revoked") in found(pool, revoked)


def test_a_preparation_while_the_pool_is_on_hold() -> None:
    findings = found(two_submitted(), preceded_by(said.JobPreparing, said.PoolHeld("operator.ada")))
    assert ("I6", "dispatched while the pool was on hold") in findings


# -- one open, and only that one counts ---------------------------------------------------------------------------


def test_a_second_preparation_of_a_job() -> None:
    pool = two_submitted()
    batch = pool.batches[-1]
    (ordered,) = [event for event in batch.events if isinstance(event, said.PreparationOrdered)]
    name = dispatch_id(batch.epoch, batch.seq, len(batch.events))
    second = msgspec.structs.replace(ordered, preparation=name, open=2)
    pool.batches[-1] = msgspec.structs.replace(batch, events=(*batch.events, second))
    assert "I5" in invariants(found(pool))


def test_a_preparation_that_is_not_named_by_its_record_and_place() -> None:
    assert "I15" in invariants(found(two_submitted(), changed(said.PreparationOrdered, preparation="9.9.9")))


@pytest.mark.parametrize("kind", [said.InputsPrepared, said.InputsRefused, said.PreparationClosed])
def test_what_is_said_of_another_preparation(kind: type) -> None:
    pool = two_submitted()
    if kind is said.InputsPrepared:
        pool.prepared(1)
    elif kind is said.InputsRefused:
        pool.refused(1)
    else:
        pool.stopped(1, "outage")
    assert found(pool) == []
    assert "I10" in invariants(found(pool, changed(kind, preparation="1.1.1")))


@pytest.mark.parametrize("fields", [{"manifest": "sha256:" + "0" * 64}, {"bytes": 1}, {"fetch_ms": 1}, {"check_ms": 9}])
def test_inputs_that_no_worker_reported(fields: dict[str, Any]) -> None:
    pool = two_submitted()
    pool.say(PreparationDone(ONE, pool.dispatch(ONE), MANIFEST, 9, 10, 20, 30))
    assert found(pool) == []
    assert invariants(found(pool, changed(said.InputsPrepared, **fields))) == ["I8"]


def test_media_that_no_worker_refused() -> None:
    pool = two_submitted()
    pool.refused(1, "too_long")
    assert invariants(found(pool, changed(said.InputsRefused, kind="codec"))) == ["I10"]


@pytest.mark.parametrize("reason", ["outage", "drained", "unclaimed"])
def test_ends_of_preparations_that_no_worker_reported(reason: str) -> None:
    pool = two_submitted()
    pool.stopped(1, "outage" if reason != "outage" else "unclaimed")
    assert invariants(found(pool, changed(said.PreparationClosed, reason=reason))) == ["I10"]


def test_a_worker_that_is_gone_while_its_preparation_stays_open() -> None:
    pool = two_submitted()
    pool.leave("w1")
    assert found(pool) == []
    assert invariants(found(pool, without(said.PreparationClosed))) == ["I9"]


def test_a_lost_worker_that_does_not_count_and_media_that_are_refused_for_it_too_soon() -> None:
    pool = two_submitted()
    pool.join_worker("w1", session="s2")
    assert invariants(found(pool, changed(said.PreparationClosed, counts=False))) == ["I4"]
    refused = preceded_by(said.NodeAdmitted, said.InputsRefused(ONE, "", "worker_lost"))
    assert invariants(found(pool, refused)) == ["I4"]


# -- the life of the job ------------------------------------------------------------------------------------------


def test_a_submission_that_led_to_nothing() -> None:
    assert "I1" in invariants(found(two_submitted(), without(said.JobPreparing)))


@pytest.mark.parametrize("media", [0, 2])
def test_other_media_than_the_submission_names(media: int) -> None:
    assert invariants(found(two_submitted(), changed(said.JobPreparing, media=media))) == ["I1"]


def test_a_job_that_ends_while_its_preparation_is_open() -> None:
    pool = two_submitted()
    pool.cancel(ONE)
    assert "I2" in invariants(found(pool, without(said.PreparationClosed)))


def test_a_job_that_begins_twice() -> None:
    pool = two_submitted()
    pool.submit(2)
    assert "I2" in invariants(found(pool, changed(said.JobPreparing, job=ONE)))


def test_a_job_that_is_dispatched_unprepared() -> None:
    pool = two_submitted()
    pool.prepared(1)
    assert "I6" in invariants(found(pool, without(said.InputsPrepared)))


def test_a_preparation_is_no_attempt() -> None:
    pool = two_submitted()
    pool.prepared(1)
    assert invariants(found(pool, changed(said.JobDispatched, attempt=2))) == ["I5"]


def test_media_that_were_not_prepared_or_need_not_be() -> None:
    pool = two_submitted()
    pool.publish("shapes")
    pool.submit(2, model="shapes")
    edit = changed(said.JobAccepted, version=version_of("edit/v1"))
    assert ("I6", "it names media, and was accepted to wait for a slot without inputs") in found(pool, edit)
    pool.submit(3)
    edit = changed(said.JobPreparing, version=version_of("shapes/v1"))
    assert "I6" in invariants(found(pool, edit))


def test_a_job_that_rests_is_prepared() -> None:
    pool = two_submitted()
    pool.stopped(1, "outage")
    pool.tick(2_000)
    assert found(pool) == []
    assert "I6" in invariants(found(pool, changed(said.PreparationClosed, eligible_lease_ms=1 << 40), batches_back=2))


# -- inputs that serve no more ------------------------------------------------------------------------------------


def repinned(prepares: str = RULES_B) -> PreparingPool:
    """Job 1 is prepared and waits; its version is withdrawn, and its alias has another."""
    pool = PreparingPool()
    pool.submit(1)
    pool.prepared(1)
    pool.publish_edit("v2", 2, prepares)
    pool.tell(WithdrawRequested("edit", version_of("edit/v1")))
    return pool


def test_inputs_by_other_rules_are_dropped() -> None:
    pool = repinned()
    assert found(pool) == []
    kept = ("I6", "its inputs serve it no more (withdrawn) and were not dropped")
    assert kept in found(pool, without(said.InputsDropped))
    assert invariants(found(pool, changed(said.InputsDropped, preparation="1.1.1"))) == ["I6"]
    assert invariants(found(pool, changed(said.InputsDropped, reason="missing"))) == ["I6"]


def test_inputs_by_the_same_rules_are_kept() -> None:
    pool = repinned(prepares="sha256:" + "1" * 64)
    preparation = pool.job(ONE).prepared
    batch = pool.batches[-1]
    dropped = said.InputsDropped(ONE, preparation, "withdrawn")
    pool.batches[-1] = msgspec.structs.replace(batch, events=(*batch.events, dropped))
    assert invariants(found(pool)) == ["I6"]


def test_inputs_that_the_store_has_lost_are_dropped() -> None:
    pool = two_submitted()
    pool.prepared(1)
    pool.tell(NodeReport("n1", "s1", (Failed(ONE, pool.dispatch(ONE), "inputs_missing"),)))
    assert found(pool) == []
    kept = ("I6", "its inputs serve it no more (missing) and were not dropped")
    assert kept in found(pool, without(said.InputsDropped))


def test_media_that_are_prepared_for_a_withdrawn_version() -> None:
    pool = two_submitted()
    withdrawn = said.VersionWithdrawn("edit", version_of("edit/v1"), kill=False, actor="operator.ada")
    assert "I12" in invariants(found(pool, preceded_by(said.PreparationOrdered, withdrawn)))


def test_a_worker_whose_word_counts_no_more() -> None:
    pool = two_submitted()
    pool.prepared(1)
    policy = preparing_policy(revoked=("node.cpus/w1",))
    revoked = preceded_by(said.InputsPrepared, said.PolicyAdopted(policy, fingerprint(policy)))
    assert ("I10", "InputsPrepared by the word of w1, which is revoked") in found(pool, revoked)
