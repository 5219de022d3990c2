from __future__ import annotations

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from contract import codec
from contract.inputs import CancelRequested, JobSubmitted
from tests.golden.samples import sample

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
