from __future__ import annotations

import msgspec
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from contract import bounds, codec
from contract.inputs import CancelRequested, ErasureCompleted, JobSubmitted
from contract.results import ResultFile, ResultManifest
from tests.golden.samples import sample
from tests.unit.scheduling.specification import Pool

SECRET = "a purple elephant"


def test_body_of_a_submission_is_without_its_payload() -> None:
    submitted = sample(JobSubmitted)
    assert isinstance(submitted, JobSubmitted)
    assert b"red ball" in codec.encode(submitted)
    assert b"red ball" not in codec.encode(codec.body_of(submitted))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "found an empty record"),
        (b"", "found an empty record"),
        (b"\xff\x00", "not JSON"),
        (b"{", "not JSON"),
        (b"[" * 5000, "got `array`"),
        (b"3", "Expected `object`"),
        (b'{"type":"%s"}' % SECRET.encode(), "unknown record type"),
        (b'{"type":"CancelRequested.v9"}', "unknown record type"),
        (b'{"type":"CancelRequested.v1","job":7}', "Expected `str`, got `int` - at `$.job`"),
    ],
)
def test_what_is_no_input_is_refused_without_quoting_it(value: bytes | None, says: str) -> None:
    with pytest.raises(codec.Malformed) as fault:
        codec.decode_wire(value)
    assert says in str(fault.value)
    assert SECRET not in str(fault.value)


def test_an_unknown_field_of_a_submission_is_refused_without_quoting_it() -> None:
    with pytest.raises(codec.Malformed) as fault:
        codec.decode_submission(
            b'{"type":"SubmissionRequested.v1","tenant":"t","tier":"free","model":"m","inputs":{},"%s":1}'
            % SECRET.encode()
        )
    assert "unknown field" in str(fault.value)
    assert SECRET not in str(fault.value)


def test_headers_are_cloudevents_in_binary_mode() -> None:
    record = CancelRequested(job="main-" + "0" * 32)
    headers = dict(codec.headers_for(record, "id-1", "//headrace/api"))
    event = from_binary(KafkaMessage(headers=headers, key=None, value=codec.encode(record)), JSONFormat(), CloudEvent)
    assert event.get_id() == "id-1"
    assert event.get_source() == "//headrace/api"
    assert event.get_type() == "headrace.CancelRequested.v1"
    assert event.get_specversion() == "1.0"


def test_a_batch_of_encoded_events_has_the_bytes_of_the_batch() -> None:
    for record in Pool().records:
        batch = codec.decode_batch(record)
        empty = msgspec.structs.replace(batch, events=())
        assert codec.encode_batch(empty, [codec.encode(event) for event in batch.events]) == record
        assert codec.encode_batch(empty, []) == codec.encode(empty)


def test_a_record_of_jobs_at_the_scheduler_s_door_is_within_bounds() -> None:
    job = "main-" + "0" * 32
    good = CancelRequested(job)
    assert codec.decode_input(codec.encode(good)) == good
    for odd in (CancelRequested("x" * 2_000), CancelRequested("a\0b"), ErasureCompleted(job, (2**53,), 0)):
        assert codec.decode_wire(codec.encode(odd)) == odd, "history is read as it was written"
        with pytest.raises(codec.Malformed, match=r"^a record of `jobs`: expected"):
            codec.decode_input(codec.encode(odd))
    large = ErasureCompleted(job, tuple(range(40_000)), 0)
    with pytest.raises(codec.Malformed, match=r"of at most 131072 bytes, found"):
        codec.decode_input(codec.encode(large))
    submitted = sample(JobSubmitted)
    assert isinstance(submitted, JobSubmitted)
    with pytest.raises(codec.Malformed, match="a salt of 32 hex digits"):
        codec.decode_input(codec.encode(submitted))


@pytest.mark.parametrize(
    ("words", "mended"),
    [("caf\udce9.mp4", "caf\ufffd.mp4"), ("a\0b", "a\ufffdb"), ("漢 \U0001f600", "漢 \U0001f600"), ("", "")],
)
def test_words_are_mended_to_whole_characters(words: str, mended: str) -> None:
    assert bounds.mended(words) == mended
    bounds.mended(words).encode()


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("video.mp4", True),
        ("../../snapshots/main/1", False),
        ("a/b", False),
        ("", False),
        (".hidden", False),
        ("x" * 129, False),
        ("manifest.json", False),
        ("inputs.json", False),
        ("a\0", False),
    ],
)
def test_a_manifest_names_files_of_its_attempt_alone(name: str, taken: bool) -> None:
    made = ResultManifest("main-" + "0" * 32, "1.0.0", "v", msgspec.Raw(b"{}"), (ResultFile(name, "0" * 64, 1, ""),))
    raw = codec.encode(made)
    if taken:
        assert codec.decode_result(raw).files == made.files
        return
    with pytest.raises(codec.Malformed, match="names of outputs, found another name"):
        codec.decode_result(raw)
