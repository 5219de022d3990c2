"""Inputs over Kafka: the same rules as over HTTP; a refusal names the rule and none of the sender's words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from contract.codec import encode
from contract.side_topics import SubmissionRequested
from runtime.kafka import Record
from streams.door.admission import Admitted, Refused
from tests.properties.streams import registry_in_memory

NODE = {"$ref": "#/$defs/node"}


def admitted(patch: pytest.MonkeyPatch, schema: dict[str, Any], inputs: bytes) -> Admitted:
    patch.setattr(registry_in_memory, "INPUTS_SCHEMA", schema)
    value = encode(SubmissionRequested("acme", "free", "echo", msgspec.Raw(inputs)))
    record = Record("submissions", 0, 7, 1_700_000_000_000, b"acme", value, [("ce_source", b"s"), ("ce_id", b"1")])
    return registry_in_memory.an_admission(patch).admit(record, patient=True)


@pytest.mark.parametrize(
    ("schema", "inputs", "reason"),
    [
        ({"properties": {"steps": {"type": "integer"}}}, b'{"steps": 24.0}', "written without a fraction or exponent"),
        ({"properties": {"steps": {"type": "integer"}}}, b'{"steps": 1e2}', "rule #/properties/steps/type"),
        ({"additionalProperties": False}, b'{"heron": 1}', "rule #/additionalProperties"),
        ({"properties": {"p": {"pattern": r"^(\w+\s?)*$"}}}, b'{"p": "' + b"a" * 28 + b'!"}', "#/properties/p/pattern"),
        ({"properties": {"x": {"$ref": "#Nowhere"}}}, b'{"x": "heron"}', "its inputs can't be checked"),
        ({"properties": {"x": {"pattern": "(?=a)"}}}, b'{"x": "heron"}', "its inputs can't be checked"),
        (
            {**NODE, "$defs": {"node": {"allOf": [{"properties": {"n": NODE}}] * 2}}},
            b'{"n":' * 60 + b"1" + b"}" * 60,
            "no more than its schema checks",
        ),
    ],
)
def test_inputs_that_cannot_be_run_are_refused(
    monkeypatch: pytest.MonkeyPatch, schema: dict[str, Any], inputs: bytes, reason: str
) -> None:
    with pytest.raises(Refused) as refused:
        admitted(monkeypatch, schema, inputs)
    assert reason in str(refused.value)
    assert "heron" not in str(refused.value)
    assert "24.0" not in str(refused.value)


def test_inputs_that_fit_are_admitted_as_they_were_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = b'{"steps":24,"items":[{"k":1},{"k":2}]}'
    schema = {"properties": {"steps": {"type": "integer"}, "items": {"uniqueItems": True}}}
    assert bytes(admitted(monkeypatch, schema, inputs).record.inputs) == inputs
