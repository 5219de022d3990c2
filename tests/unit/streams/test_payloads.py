"""Words are held for the next dispatches, within bounds, and no longer than needed."""

from __future__ import annotations

import msgspec
import pytest

from contract.batch import Batch
from contract.events import (
    AttemptStarted,
    Event,
    InputQuarantined,
    JobAccepted,
    JobCancelled,
    JobDuplicated,
    JobRefused,
    JobSucceeded,
)
from contract.inputs import CancelRequested, Input, JobSubmitted, Submission
from streams.ledger.payloads import ENTRY_BYTES, PayloadCache


def submitted(job: str, words: str = "x") -> JobSubmitted:
    submission = Submission(job, "acme", "free", "noop", "sha256:", "api")
    return JobSubmitted(submission, msgspec.Raw(msgspec.json.encode({"prompt": words})), "00")


def read(offset: int, job: str) -> Input:
    return Input(offset, 0, submitted(job).submission, "k")


def accepted(offset: int, job: str) -> JobAccepted:
    return JobAccepted(job, "acme", "free", "noop", "sha256:", 0, 0, offset, "k", "sha256:")


def batch(inputs: list[Input], *events: Event) -> Batch:
    return Batch("main", 1, 1, "", 0, 0, False, 0, tuple(inputs), events)


def test_a_payload_is_given_for_its_own_record_only() -> None:
    cache = PayloadCache()
    cache.hold(7, submitted("a"), "trace")
    payload, trace = cache.get(7)
    assert payload is not None
    assert (bytes(payload.inputs), payload.salt, trace) == (b'{"prompt":"x"}', "00", "trace")
    assert cache.get(9) == (None, "")


def test_it_holds_what_is_not_read_yet_and_what_waits_for_its_dispatch() -> None:
    cache = PayloadCache()
    for offset, job in enumerate("ab"):
        cache.hold(offset, submitted(job), "")
    cache.settle(batch([read(0, "a")], accepted(0, "a")))
    cache.settle(batch([Input(7, 0, CancelRequested("b"))]))
    assert [cache.get(offset)[0] is not None for offset in (0, 1)] == [True, True]


@pytest.mark.parametrize(
    "outcome",
    [
        JobDuplicated("a", 5, "k"),
        JobRefused("a", "acme", "unknown_model", 5, "k"),
        InputQuarantined(5, "of another pool"),
        InputQuarantined(5, "too old", job="a", key="k"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_made_no_job_goes(outcome: Event) -> None:
    """Review 5.14: a copy that came after its job had started, or a job of another pool, was held for ever."""
    cache = PayloadCache()
    cache.hold(5, submitted("a"), "")
    cache.settle(batch([read(5, "a")], outcome))
    assert len(cache) == 0


@pytest.mark.parametrize("end", [AttemptStarted("a", "1.1.0"), JobCancelled("a", "erase"), JobSucceeded("a", "1", "m")])
def test_what_started_or_ended_goes_and_a_copy_of_it_too(end: Event) -> None:
    cache = PayloadCache()
    cache.hold(5, submitted("a"), "")
    cache.settle(batch([read(5, "a")], accepted(5, "a")))
    cache.hold(6, submitted("a"), "")
    cache.settle(batch([read(6, "a")], JobDuplicated("a", 6, "k")))
    assert len(cache) == 1
    cache.settle(batch([], end))
    assert len(cache) == 0
    cache.hold(9, submitted("a"), "")
    cache.settle(batch([read(9, "a")], JobDuplicated("a", 9, "k"), end))
    assert len(cache) == 0
    cache.hold(10, submitted("b", "x" * 100), "")
    assert len(cache) == 1


def test_one_that_is_accepted_and_ends_in_one_batch_goes() -> None:
    cache = PayloadCache()
    cache.hold(5, submitted("a"), "")
    cache.settle(batch([read(5, "a")], accepted(5, "a"), JobCancelled("a", "cancel")))
    assert len(cache) == 0


def test_the_room_of_what_goes_is_free_again() -> None:
    cache = PayloadCache(bytes_max=ENTRY_BYTES + 20)
    for offset in range(1_000):
        cache.hold(offset, submitted("a"), "")
        assert len(cache) == 1
        cache.settle(batch([read(offset, "a")], JobDuplicated("a", offset, "k")))


def test_it_is_bounded_and_keeps_those_that_go_next() -> None:
    cache = PayloadCache(bytes_max=2 * (ENTRY_BYTES + 20))
    for offset, job in enumerate("abc"):
        cache.hold(offset, submitted(job), "")
    assert [cache.get(offset)[0] is not None for offset in range(3)] == [True, True, False]
    cache.settle(batch([read(0, "a")], accepted(0, "a"), AttemptStarted("a", "1.1.0")))
    cache.hold(3, submitted("d"), "")
    assert cache.get(3)[0] is not None
