"""What a submission leads to: accepted, a further copy, refused, or too old to run."""

from __future__ import annotations

import pytest

from contract.durations import DAY_MS
from contract.events import InputQuarantined, JobAccepted, JobDuplicated, JobRefused, ReportStale
from contract.inputs import AliasMoved, CancelRequested, Submission, Unreadable, VersionPublished
from contract.names import job_id
from tests.unit.scheduling.specification import CPU, POLICY, Pool, a_job, only, submission, version_of


def test_a_submission_is_accepted_and_pinned_to_the_version_its_alias_points_to() -> None:
    pool = Pool()
    first = pool.publish(version="v1", move=1)
    (accepted,) = only(pool.tell(submission(1)), JobAccepted)
    assert (accepted.job, accepted.version, accepted.model) == (a_job(1), first, "shapes")
    assert (accepted.submitted_ms, accepted.key) == (pool.now_ms, f"k{accepted.offset}")

    second = pool.publish(version="v2", move=2)
    (accepted,) = only(pool.tell(submission(2)), JobAccepted)
    assert accepted.version == second
    assert pool.job(a_job(1)).version == first, "an accepted job keeps its version"


def test_a_late_older_move_of_an_alias_changes_nothing() -> None:
    pool = Pool()
    pool.publish(version="v1", move=1)
    newer = pool.publish(version="v2", move=2)
    assert pool.tell(AliasMoved("shapes", "live", version_of("shapes/v1"), 1)) == [ReportStale("AliasMoved")]
    (accepted,) = only(pool.tell(submission(1)), JobAccepted)
    assert accepted.version == newer


def test_a_version_is_registered_once() -> None:
    pool = Pool()
    digest = pool.publish()
    assert pool.tell(VersionPublished("shapes", digest, CPU, 1)) == [ReportStale("VersionPublished")]


def test_an_exact_version_can_be_asked_for() -> None:
    pool = Pool()
    first = pool.publish(version="v1", move=1)
    pool.publish(version="v2", move=2)
    (accepted,) = only(pool.tell(submission(1, model=f"shapes@{first}")), JobAccepted)
    assert accepted.version == first


def test_a_second_copy_changes_nothing_while_the_job_lives_and_after() -> None:
    pool = Pool()
    pool.publish()
    pool.tell(submission(1))
    copy = pool.tell(submission(1))
    assert copy == [JobDuplicated(a_job(1), pool.offset - 1, f"k{pool.offset - 1}")]
    pool.tell(CancelRequested(a_job(1)))
    assert only(pool.tell(submission(1)), JobDuplicated)
    assert not pool.state.jobs


def test_two_copies_in_one_batch_are_one_job() -> None:
    pool = Pool()
    pool.publish()
    events = pool.tell(submission(1), submission(1))
    assert len(only(events, JobAccepted)) == 1
    assert len(only(events, JobDuplicated)) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (submission(1, model="nothing"), "unknown_model"),
        (submission(1, model="No Model!"), "unknown_model"),
        (submission(1, model="shapes@canary"), "unknown_alias"),
        (submission(1, model=f"shapes@{version_of('other')}"), "unknown_version"),
        (submission(1, model=f"other@{version_of('shapes/v1')}"), "unknown_version"),
        (submission(1, tier="gold"), "unknown_tier"),
        (submission(1, expires_ms=1), "expired"),
    ],
)
def test_what_cannot_run_is_refused_with_its_reason_and_remembered(body: Submission, reason: str) -> None:
    pool = Pool()
    pool.publish()
    (refused,) = only(pool.tell(body), JobRefused)
    assert (refused.reason, refused.tenant) == (reason, "acme")
    assert only(pool.tell(body), JobDuplicated), "a refusal is an end: its id is known"


def test_an_alias_that_points_to_a_version_not_yet_published_is_refused() -> None:
    pool = Pool()
    pool.publish()
    pool.tell(AliasMoved("shapes", "next", version_of("later"), 7))
    (refused,) = only(pool.tell(submission(1, model="shapes@next")), JobRefused)
    assert refused.reason == "unknown_version"


def test_without_a_policy_there_is_no_tier() -> None:
    pool = Pool(policy=None)
    pool.publish()
    (refused,) = only(pool.tell(submission(1)), JobRefused)
    assert refused.reason == "unknown_tier"


def test_a_job_of_another_pool_is_quarantined_not_run() -> None:
    pool = Pool()
    pool.publish()
    stray = submission(1)
    for job in (job_id("other", "x"), "main-nothex", ""):
        (quarantined,) = only(
            pool.tell(type(stray)(job, "acme", "free", "shapes", stray.digest, "api")), InputQuarantined
        )
        assert quarantined.offset == pool.offset - 1
    assert not pool.state.jobs


def test_a_job_that_no_node_fits_waits_for_one() -> None:
    pool = Pool()
    pool.publish()
    assert only(pool.tell(submission(1)), JobAccepted)
    pool.tick(60_000)
    assert a_job(1) in pool.state.jobs


def test_a_kafka_copy_older_than_the_age_allowed_is_quarantined_and_one_by_the_api_never_is() -> None:
    pool = Pool()
    pool.publish()
    old_ms = pool.now_ms - 3 * DAY_MS - 1
    events = pool.tell(
        submission(1, via="kafka", submitted_ms=old_ms),
        submission(2, via="kafka", submitted_ms=old_ms + 1),
        submission(3, via="api", submitted_ms=old_ms),
    )
    (quarantined,) = only(events, InputQuarantined)
    assert (quarantined.job, quarantined.key) == (a_job(1), f"k{quarantined.offset}")
    assert [accepted.job for accepted in only(events, JobAccepted)] == [a_job(2), a_job(3)]
    assert pool.job(a_job(2)).submitted_ms == old_ms + 1, "its wait counts from its own append time"


def test_an_ended_id_is_remembered_for_the_age_allowed_then_forgotten_and_its_copies_never_run() -> None:
    pool = Pool()
    pool.publish()
    sent_ms = pool.now_ms
    copy = submission(1, via="kafka", submitted_ms=sent_ms)
    pool.tell(copy)
    pool.tell(CancelRequested(a_job(1)))
    pool.tick(3 * DAY_MS - 120_000, lease_ms=0)
    assert only(pool.tell(copy), JobDuplicated)
    pool.tick(300_000, lease_ms=0)
    assert a_job(1) not in pool.state.ended
    assert only(pool.tell(copy), InputQuarantined)

    longer = POLICY.__class__(POLICY.tiers, POLICY.pools, POLICY.clusters, submission_age_max_ms=9 * DAY_MS)
    pool.adopt(longer)
    assert only(pool.tell(copy), InputQuarantined), "a longer age allowed later brings no forgotten job back"


def test_a_submission_from_the_future_waits_from_now() -> None:
    pool = Pool()
    pool.publish()
    pool.tell(submission(1, via="kafka", submitted_ms=pool.now_ms + 500_000))
    assert pool.job(a_job(1)).submitted_ms == pool.now_ms


def test_an_unreadable_record_is_named_by_its_offset() -> None:
    pool = Pool()
    assert pool.tell(Unreadable("expected JSON")) == [InputQuarantined(pool.offset - 1, "expected JSON")]
