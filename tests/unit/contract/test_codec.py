from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from contract import bounds, codec
from contract.inputs import (
    LAYERS,
    AliasMoved,
    CancelRequested,
    EraseRequested,
    ErasureCompleted,
    JobSubmitted,
    NodeJoined,
)
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


@pytest.mark.parametrize("by", ["key 7", "a:b", "-x", "a\n", "k" * 101, "\u00e9va"])
@pytest.mark.parametrize("kind", [CancelRequested, EraseRequested, AliasMoved])
def test_for_whom_a_record_is_said_is_a_login_or_the_id_of_a_key(kind: type[Any], by: str) -> None:
    said = msgspec.structs.replace(sample(kind), by=by)
    assert codec.decode_wire(codec.encode(said)) == said, "history is read as it was written"
    with pytest.raises(codec.Malformed, match="a login or the id of a key in `by`, found another text"):
        codec.decode_input(codec.encode(said))
    for good in ("", "key_7", "eve.f@lab+1", "k" * 100):
        assert codec.decode_input(codec.encode(msgspec.structs.replace(said, by=good)))


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ((), ()),
        (("sockets", "files", "files"), ("files", "sockets")),
        (("files", SECRET), ("files",)),
        ((SECRET,), LAYERS),
    ],
)
def test_layers_that_are_missing_are_ours_in_one_order(said: tuple[str, ...], taken: tuple[str, ...]) -> None:
    """A node that lacks what we have no word for lacks everything: it is not confined."""
    join = msgspec.structs.replace(sample(NodeJoined), layers_missing=said, kind="prepare")
    assert isinstance(join, NodeJoined)
    body = codec.body_of(join)
    assert isinstance(body, NodeJoined)
    assert body == msgspec.structs.replace(join, layers_missing=taken)


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
