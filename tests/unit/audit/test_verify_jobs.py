"""What `verify` finds outside the ledger: in `jobs`, in what was promised, and in the object store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec
import pytest
from confluent_kafka import KafkaError, KafkaException

from audit.ledger.reader import JobsRecord
from audit.verify.jobs_topic import JobsTopic
from audit.verify.verdict import render
from audit.verify.verification import Witnesses
from contract import inputs
from contract.batch import Batch
from contract.codec import encode
from contract.join_tokens import JOIN_TOKEN_HEADER
from contract.results import ResultFile, ResultManifest
from tests.unit.audit.ledger import POOL, SECRET, Ledger, job_of, lived_in
from tests.unit.audit.verdicts import only_finding, verified


def test_a_record_of_jobs_that_no_batch_read_is_found() -> None:
    ledger = lived_in()
    jobs = [*ledger.jobs]
    at = next(i for i, record in enumerate(jobs) if b"JobSubmitted" in record.value)
    batch_at = next(r.offset for r in ledger.records if any(i.offset == at for i in ledger.batch(r.offset).inputs))
    batch = ledger.batch(batch_at)
    kept = tuple(given for given in batch.inputs if given.offset != at)
    ledger.rewrite(batch_at, msgspec.structs.replace(batch, inputs=kept), relink=-1)
    verdict = verified(ledger, Witnesses(jobs_topic=JobsTopic(jobs, 0)))
    assert any(f.invariant == "I1" and f"offset {at} of `jobs` was passed over" in f.text for f in verdict.findings)


def test_a_misquoted_input_is_found() -> None:
    ledger = lived_in()
    jobs = [*ledger.jobs]
    at = next(i for i, record in enumerate(jobs) if b"JobSubmitted" in record.value)
    jobs[at] = jobs[at]._replace(value=jobs[at].value.replace(b'"tenant":"acme"', b'"tenant":"evil"'))
    _, invariant, text = only_finding(verified(ledger, Witnesses(jobs_topic=JobsTopic(jobs, 0))))
    assert invariant == "I1"
    assert f"offset {at} of `jobs` says something else" in text
    assert SECRET not in text


def test_a_promise_that_was_not_kept_is_found_and_one_not_read_yet_is_none() -> None:
    ledger = lived_in()
    ledger.submit(9)
    witnesses = Witnesses(jobs_topic=JobsTopic(ledger.jobs, 0), acknowledged=[job_of(1), job_of(8), job_of(9)])
    verdict = verified(ledger, witnesses)
    assert [(f.invariant, f.job) for f in verdict.findings] == [("I1", job_of(8))]


def test_a_broker_that_fails_while_jobs_is_read_is_no_finding() -> None:
    ledger = lived_in()

    def cut_off() -> Iterator[JobsRecord]:
        yield from ledger.jobs[:2]
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    with pytest.raises(KafkaException):
        verified(ledger, Witnesses(jobs_topic=JobsTopic(cut_off(), 0)))


def test_compacted_and_expired_records_of_jobs_are_no_finding() -> None:
    ledger = lived_in()
    kept = [record for record in ledger.jobs if record.offset >= 3 and record.offset != 5]
    assert verified(ledger, Witnesses(jobs_topic=JobsTopic(kept, 3))).clean


class Store(dict[str, bytes]):
    def get(self, key: str, bytes_max: int) -> bytes:  # type: ignore[override]
        return self[key]

    def exists(self, key: str) -> bool:
        return key in self


def _with_result() -> tuple[Ledger, Store, str]:
    ledger, store = Ledger(), Store()
    ledger.set_up()
    ledger.submit(1)
    ledger.decide()
    dispatch = ledger.dispatch_of(1)
    files = (ResultFile("video.mp4", "0" * 64, 3, "video/mp4"),)
    manifest = encode(ResultManifest(job_of(1), dispatch, "sha256:" + "a" * 64, msgspec.Raw(b"{}"), files))
    prefix = f"results/{job_of(1)}/{dispatch}/"
    store[prefix + "manifest.json"] = manifest
    store[prefix + "video.mp4"] = b"abc"
    ledger.succeed(1, "sha256:" + hashlib.sha256(manifest).hexdigest())
    return ledger, store, prefix


def test_an_accepted_result_is_looked_up() -> None:
    ledger, store, _ = _with_result()
    verdict = verified(ledger, Witnesses(store=store))
    assert verdict.clean, render(verdict)
    assert verdict.results == 1


@pytest.mark.parametrize(("name", "value"), [("manifest.json", b"{}"), ("manifest.json", None), ("video.mp4", None)])
def test_a_result_that_changed_or_went_is_found(name: str, value: bytes | None) -> None:
    ledger, store, prefix = _with_result()
    if value is None:
        del store[prefix + name]
    else:
        store[prefix + name] = value
    _, invariant, text = only_finding(verified(ledger, Witnesses(store=store)))
    assert invariant == "I8"
    assert name in text


def test_the_result_of_an_erased_job_is_not_asked_for() -> None:
    ledger, _, _ = _with_result()
    ledger.decide(inputs.EraseRequested(job_of(1)))
    ledger.decide(inputs.ErasureCompleted(job_of(1), (4,), ledger.now_ms + 1000))
    verdict = verified(ledger, Witnesses(store=Store()))
    assert verdict.clean, render(verdict)


# -- duplicates and erasures ----------------------------------------------------------------------------------


def test_a_job_submitted_twice_and_one_erased_before_it_was_accepted_are_clean() -> None:
    ledger = Ledger()
    ledger.set_up()
    ledger.submit(1, "k1")
    ledger.submit(1, "k2")
    ledger.decide()
    ledger.decide(inputs.EraseRequested(job_of(7)))
    ledger.decide(inputs.ErasureCompleted(job_of(7), (), ledger.now_ms))
    ledger.submit(7)
    ledger.decide(inputs.EraseRequested(job_of(1)), inputs.EraseRequested(job_of(7)))
    verdict = verified(ledger, Witnesses(jobs_topic=JobsTopic(ledger.jobs, 0)))
    assert verdict.clean, render(verdict)
    assert verdict.jobs == 2


# -- join tokens ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("said_ms", "found"), [(0, 0), (5_000, 0), (6_000, 1)])
def test_a_join_token_that_its_record_does_not_have_is_found(said_ms: int, found: int) -> None:
    """A token that was no good counts for nothing, so 0 is always right: only the scheduler can tell."""
    join = inputs.NodeJoined("n1", "s1", "east", "cpu", 1, 0, 1)
    token = (JOIN_TOKEN_HEADER, f"5000.{'0' * 8}.{'0' * 64}".encode())
    topic = JobsTopic([JobsRecord(0, 1_000, "", encode(join), (token,))], 0)
    batch = Batch(POOL, 1, 1, "0" * 64, 1_000, 0, True, 1, (inputs.Input(0, 1_000, join, token_until_ms=said_ms),), ())
    assert len(topic.compare(0, batch)) == found
