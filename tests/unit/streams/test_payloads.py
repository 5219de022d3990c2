"""Words are held for the next dispatches, within bounds, and no longer than needed."""

from __future__ import annotations

import msgspec

from contract.events import AttemptStarted, JobCancelled
from contract.inputs import JobSubmitted, Submission
from streams.payloads import ENTRY_BYTES, PayloadCache


def submitted(job: str, words: str) -> JobSubmitted:
    submission = Submission(job, "acme", "free", "noop", "sha256:", "api")
    return JobSubmitted(submission, msgspec.Raw(msgspec.json.encode({"prompt": words})), "00")


def test_a_payload_is_given_for_its_own_record_only() -> None:
    cache = PayloadCache()
    cache.hold(7, submitted("a", "x"), "trace")
    cache.hold(9, submitted("a", "another copy"), "")
    payload, trace = cache.get("a", 7)
    assert payload is not None
    assert (bytes(payload.inputs), payload.salt, trace) == (b'{"prompt":"x"}', "00", "trace")
    assert cache.get("a", 9) == (None, "")
    assert cache.get("b", 7) == (None, "")


def test_it_lets_go_when_the_job_has_started_or_ended() -> None:
    cache = PayloadCache()
    for offset, job in enumerate("ab"):
        cache.hold(offset, submitted(job, "x"), "")
    cache.forget([AttemptStarted("a", "1.1.0"), JobCancelled("b", "erase")])
    assert len(cache) == 0
    cache.hold(5, submitted("a", "x" * 100), "")
    assert len(cache) == 1


def test_it_is_bounded_and_keeps_those_that_go_next() -> None:
    cache = PayloadCache(bytes_max=2 * (ENTRY_BYTES + 20))
    for offset, job in enumerate("abc"):
        cache.hold(offset, submitted(job, "x"), "")
    assert [cache.get(job, offset)[0] is not None for offset, job in enumerate("abc")] == [True, True, False]
    cache.forget([AttemptStarted("a", "1.1.0")])
    cache.hold(3, submitted("d", "x"), "")
    assert cache.get("d", 3)[0] is not None
