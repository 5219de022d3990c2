"""Copies of an erased job's words that came after the erasure are found in the ledger and buried."""

from __future__ import annotations

import asyncio

from contract.batch import Batch
from contract.events import (
    ErasureOrdered,
    Event,
    InputQuarantined,
    JobAccepted,
    JobDuplicated,
    JobErased,
    JobRefused,
)
from contract.inputs import EraseRequested, ErasureCompleted
from contract.topics import JOBS, JOBS_KEPT_MS
from operations.copy_sweep import LateCopies, bury_late_copies
from tests.twin.installation import Installation, submission
from tests.twin.signing import signer_of

JOB, OTHER = ("main-" + digit * 32 for digit in "01")


def batch(now_ms: int, *events: Event) -> Batch:
    return Batch("main", 1, 0, "", now_ms, 0, True, 0, (), events)


def due(*batches: Batch, now_ms: int = 1_000) -> dict[str, dict[int, str]]:
    late = LateCopies()
    assert list(late.watching(batches)) == list(batches)
    return dict(late.due(now_ms))


ERASED = (batch(1, ErasureOrdered(JOB), JobDuplicated(JOB, 3, "c")), batch(2, JobErased(JOB, (1, 3), 0)))


def test_what_comes_after_an_erasure_is_due_and_nothing_else() -> None:
    after = batch(
        3,
        JobDuplicated(JOB, 7, "k7"),
        InputQuarantined(8, "too old", JOB, "k8"),
        JobRefused(JOB, "acme", "unknown_tier", 9, "k9"),
        JobDuplicated(OTHER, 10, "k10"),
        InputQuarantined(11, "unreadable"),
    )
    assert due(batch(0, JobDuplicated(JOB, 1, "k1")), *ERASED, after) == {JOB: {7: "k7", 8: "k8", 9: "k9"}}
    assert due(*ERASED, after, batch(4, JobErased(JOB, (7, 8), 0))) == {JOB: {9: "k9"}}
    assert due(*ERASED, after, now_ms=JOBS_KEPT_MS + 3) == {}, "Kafka has let them go"


def test_what_an_erasure_under_way_left_is_due_once_it_is_on_record() -> None:
    assert due(ERASED[0]) == {}
    assert due(ERASED[0], batch(2, JobErased(JOB, (1,), 0))) == {JOB: {3: "c"}}


def test_a_new_life_of_the_id_is_not_what_was_erased() -> None:
    late = batch(3, JobDuplicated(JOB, 7, "k7"))
    accepted = JobAccepted(JOB, "acme", "free", "film", "sha256:0", 0, 0, 8, "k8", "sha256:0")
    assert due(*ERASED, late, batch(4, accepted, JobDuplicated(JOB, 9, "k9"))) == {}


def test_a_late_copy_is_buried_and_on_record_once() -> None:
    with Installation() as here:
        copy = submission("main", "again", "api")
        job = copy.submission.job

        async def live() -> None:
            here.setup()
            here.scheduler()
            here.say(copy)
            here.say(EraseRequested(job, copy.submission.tenant))
            here.say(ErasureCompleted(job, (3,), 5))
            offset = here.say(copy)
            await here.until(lambda: here.events(JobDuplicated))
            for buried in (1, 0):
                late = LateCopies()
                for one in here.batches():
                    late.take(one)
                now_ms = here.batches()[-1].now_ms
                signer = signer_of("operator.sweep")
                assert await asyncio.to_thread(bury_late_copies, here.kafka.brokers, signer, 0, late, now_ms) == buried
                await here.until(lambda: len(here.events(JobErased)) == 2)
            (_, second) = here.events(JobErased)
            assert second.offsets == (offset,)
            keys = {record.offset: record.key for record in here.kafka.records(JOBS, 0)}
            tombstones = [record for record in here.kafka.records(JOBS, 0) if record.value is None]
            assert [record.key for record in tombstones] == [keys[offset]]

        here.run(live)
