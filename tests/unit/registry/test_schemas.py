"""Schemas of versions: which are refused and why, and what is said of values that do not fit."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from contract.codec import decode_values
from registry.schemas import SchemaRefused, Validator, Validators, path_of
from registry.schemas import references as references_module

SECRET = "a heron at dawn"
NODE = {"$ref": "#/$defs/node"}


def refusal(schema: dict[str, Any]) -> SchemaRefused:
    with pytest.raises(SchemaRefused) as caught:
        Validator(schema)
    return caught.value


def sentence(schema: dict[str, Any], value: Any) -> str:
    fault = Validator(schema).fault(value)
    assert fault is not None
    return fault.sentence("inputs")


@pytest.mark.parametrize(
    "reference",
    [
        "#Nowhere",
        "#/components/schemas/scheduler",
        "#/extra/a",
        "#/properties",
        "#/$defs/missing",
        "#/$defs/list/enum/0",
        "#/$defs/list/prefixItems/7",
        "#a/b",
        "#/%24defs/missing",
    ],
)
@pytest.mark.parametrize("word", ["$ref", "$dynamicRef"])
def test_a_reference_leads_to_a_schema_of_the_document(reference: str, word: str) -> None:
    schema = {
        "properties": {"x": {"allOf": [{word: reference}]}},
        "extra": {"a": {}},
        "$defs": {"list": {"prefixItems": [{}], "enum": [{}]}},
    }
    refused = refusal(schema)
    assert refused.path == ("properties", "x", "allOf", 0, word)
    assert repr(reference) in str(refused)


@pytest.mark.parametrize("reference", ["https://example.org/x", "file:///etc/passwd", "other.json#/a", "", "urn:x"])
def test_a_reference_stays_inside_the_document(reference: str) -> None:
    assert "references inside the schema" in str(refusal({"$ref": reference}))


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("#/$defs/a~1b", "a/b"),
        ("#/$defs/a~0b", "a~b"),
        ("#/$defs/a%20b", "a b"),
        ("#/$defs/%C3%A9", "é"),
        ("#/$defs/007", "007"),
        ("#there", "any"),
        ("#/definitions/old", "any"),
    ],
)
def test_references_are_read_as_the_standard_says(reference: str, name: str) -> None:
    validator = Validator(
        {
            "properties": {"x": {"$ref": reference}},
            "$defs": {name: {"$anchor": "there", "type": "string"}},
            "definitions": {"old": {"type": "string"}},
        }
    )
    assert validator.fault({"x": "yes"}) is None
    assert validator.fault({"x": 7}) is not None


def test_an_anchor_names_one_place() -> None:
    assert "twice" in str(refusal({"$defs": {"a": {"$anchor": "x"}, "b": {"$dynamicAnchor": "x"}}}))


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"properties": {"x": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}},
        {"$defs": {"a": {"anyOf": [True, {"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}},
        {"$defs": {"a": {"dependentSchemas": {"x": {"if": {"$dynamicRef": "#me"}}}, "$dynamicAnchor": "me"}}},
    ],
)
def test_a_circle_of_references_goes_down(schema: dict[str, Any]) -> None:
    assert "found a circle" in str(refusal(schema))


def test_what_goes_down_may_come_back() -> None:
    validator = Validator({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "additionalProperties": NODE}}})
    assert validator.fault({"a": {"b": {}}}) is None
    fault = validator.fault({"a": {"b": 7}})
    assert fault is not None
    assert (fault.path, fault.rule) == (("a", "b"), "#/$defs/node/type")


def test_references_unfold_to_ten_thousand_parts_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    def doubling(times: int) -> dict[str, Any]:
        """2^times at its end, and as many on the way there."""
        steps = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(times)}
        return {"$ref": "#/$defs/a0", "$defs": {**steps, f"a{times}": {}}}

    Validator(doubling(10))
    assert "at most 10000 parts" in str(refusal(doubling(12)))
    assert "more than 10^9" in str(refusal({**doubling(30)}))
    wide = {
        "properties": {f"p{i}": {"$ref": "#/$defs/big"} for i in range(200)},
        "$defs": {"big": {"anyOf": [{}] * 60}},
    }
    assert "at most 10000 parts" in str(refusal(wide))
    monkeypatch.setattr(references_module, "PARTS_MAX", 20_000)
    Validator(wide)


def test_schemas_for_one_value_lie_in_each_other_only_so_deep() -> None:
    def chain(length: int) -> dict[str, Any]:
        links = {f"a{i}": {"$ref": f"#/$defs/a{i + 1}"} for i in range(length)}
        return {"$ref": "#/$defs/a0", "$defs": {**links, f"a{length}": {}}}

    Validator(chain(60))
    assert "at most 64 deep" in str(refusal(chain(70)))
    assert "at most 64 deep" in str(refusal(chain(6_000)))


def test_unevaluated_counts_what_it_applies_again() -> None:
    schema: dict[str, Any] = {}
    for _ in range(9):
        schema = {"unevaluatedProperties": {}, "allOf": [schema]}
    assert "at most 10000 parts" in str(refusal(schema))


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"$id": "https://example.org/me"}, ("$id",)),
        ({"properties": {"x": {"$id": "file:///etc/"}}}, ("properties", "x", "$id")),
        ({"x-mine": [{"deep": {"$id": "file:///etc/"}}]}, ("x-mine", 0, "deep", "$id")),
        (
            {"$ref": "#/extra/a", "extra": {"a": {"allOf": [{"$id": "file:///etc/x", "$ref": "#/x"}]}}},
            ("extra", "a", "allOf", 0, "$id"),
        ),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, ("$schema",)),
        ({"items": {"$schema": "http://json-schema.org/draft-04/schema#"}}, ("items", "$schema")),
    ],
)
def test_nothing_moves_where_references_start_or_what_words_mean(schema: dict[str, Any], path: tuple[Any, ...]) -> None:
    assert refusal(schema).path == path


def test_names_and_data_are_no_keywords() -> None:
    validator = Validator(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "properties": {"$id": {"type": "string"}, "$ref": {"const": {"$id": "file:///x", "$ref": "file:///y"}}},
            "default": {"$id": "file:///x"},
        }
    )
    assert validator.fault({"$id": "x", "$ref": {"$id": "file:///x", "$ref": "file:///y"}}) is None
    assert validator.fault({"$id": 7}) is not None


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(?=a)b", "look-around"),
        ("(?<!a)b", "look-around"),
        (r"(a)\1", "back-reference"),
        ("(", "found none, or one whose program"),
        ("(a{1000}){1000}", "maxLength"),
        ("^.{1,20000}$", "maxLength"),
    ],
)
@pytest.mark.parametrize("names", [False, True])
def test_patterns_are_matched_in_linear_time(pattern: str, says: str, names: bool) -> None:
    refused = refusal({"patternProperties": {pattern: {}}} if names else {"items": {"pattern": pattern}})
    assert refused.path == (("patternProperties", pattern) if names else ("items", "pattern"))
    assert says in str(refused)


def test_a_pattern_that_backtracks_elsewhere_is_taken() -> None:
    validator = Validator({"properties": {"prompt": {"pattern": r"^(\w+\s?)*$"}}})
    assert validator.fault({"prompt": "a" * 28}) is None
    assert validator.fault({"prompt": "a" * 100_000 + "!"}) is not None


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"properties": {"x": {"type": "strong"}}}, ("properties", "x", "type")),
        ({"required": "x"}, ("required",)),
        ({"items": [{}]}, ("items",)),
        ({"minLength": -1}, ("minLength",)),
        ({"maximum": 2**64}, ()),
        ({"title": "\0"}, ()),
        ({"$ref": 7}, ("$ref",)),
        ({"pattern": 7}, ("pattern",)),
    ],
)
def test_what_is_no_schema_is_told_with_its_place(schema: dict[str, Any], path: tuple[Any, ...]) -> None:
    assert refusal(schema).path == path


@pytest.mark.parametrize(
    ("schema", "value", "says"),
    [
        ({"type": "string"}, 7, "inputs: expected string, found integer"),
        ({"type": ["string", "null"]}, True, "inputs: expected string or null, found boolean"),
        ({"required": ["prompt", "seed"]}, {"seed": 1}, "expected the properties prompt, seed; found no prompt"),
        ({"enum": ["a", 2]}, SECRET, 'expected one of ["a",2]; found another string'),
        ({"maxLength": 3}, SECRET, "expected at most 3 characters, found 15"),
        ({"minItems": 2}, [SECRET], "expected at least 2 items, found 1"),
        ({"maximum": 3}, 4, "expected maximum 3, found a number that is not"),
        ({"pattern": "^x"}, SECRET, 'expected pattern "^x", found string that is not'),
        (
            {"properties": {"a": {}}, "additionalProperties": False},
            {"a": 1, "b": SECRET},
            "no properties but a, found b",
        ),
        ({"properties": {"a": False}}, {"a": SECRET}, "inputs.a: expected nothing here, found string"),
        ({"items": False}, [SECRET], "inputs[0]: expected no further items, found more"),
        ({"uniqueItems": True}, [SECRET, SECRET], "expected items that differ, found two that are the same"),
        ({"anyOf": [{"type": "null"}, {"type": "array"}]}, SECRET, "expected what fits one of 2 forms (anyOf"),
        ({"oneOf": [{}, {"type": "string"}]}, SECRET, "expected what fits exactly one of 2 forms (oneOf"),
        ({"propertyNames": {"maxLength": 2}}, {SECRET: 1}, 'expected propertyNames {"maxLength":2}, found object'),
        (
            {"items": {"properties": {"n": NODE}}, "$defs": {"node": {"minimum": 1}}},
            [{"n": 0}],
            "inputs[0].n: expected",
        ),
        ({"properties": {"007": {"type": "null"}}}, {"007": SECRET}, "inputs: expected"),
        ({"const": SECRET * 40}, 7, "inputs: expected const"),
    ],
)
def test_a_fault_says_what_was_expected_and_found(schema: dict[str, Any], value: Any, says: str) -> None:
    said = sentence(schema, value)
    assert says in said
    assert len(said) < 700
    if SECRET not in str(schema):
        assert SECRET not in said.replace(f"found {SECRET}", "")


def test_a_reason_for_everybody_holds_no_word_of_the_sender() -> None:
    for schema in ({"additionalProperties": False}, {"additionalProperties": {"type": "null"}}, {"maxProperties": 0}):
        fault = Validator(schema).fault({SECRET: SECRET})
        assert fault is not None
        assert SECRET not in fault.reason()


ROUNDED = "numbers with a fraction are rounded at this size; write it as an integer, with all its digits"
"""The sender wrote another number than the one that was read: no advice may name that."""
INTEGERS: list[dict[str, Any]] = [
    {"type": "integer"},
    {"type": ["integer", "null"]},
    {"type": "integer", "minimum": 1},
    {"$ref": "#/$defs/i", "$defs": {"i": {"type": "integer"}}},
    {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    {"oneOf": [{"type": "null"}, {"anyOf": [{"type": "integer"}]}]},
    {"allOf": [{"type": "integer"}]},
    {"type": "number", "if": True, "then": {"type": "integer"}},
    {"enum": [24, 100, 9007199254740992, "x"]},
    {"enum": [24, 100, 9007199254740992, 2.5]},
]


@pytest.mark.parametrize("schema", INTEGERS)
@pytest.mark.parametrize(
    ("text", "whole", "advice"),
    [("24.0", "24", "write 24"), ("1e2", "100", "write 100"), ("9007199254740993.0", "9007199254740992", ROUNDED)],
)
def test_an_integer_is_written_as_one(schema: dict[str, Any], text: str, whole: str, advice: str) -> None:
    validator = Validator(schema)
    fault = validator.fault(decode_values(text.encode(), "x"))
    assert fault is not None
    assert (
        fault.sentence("steps")
        == f"steps: expected an integer, written without a fraction or exponent; found {float(text)!r}: {advice}"
    )
    assert float(text).__repr__() not in fault.reason()
    assert validator.fault(int(whole)) is None


def test_constants_are_whole_as_they_are_written() -> None:
    assert "write 24" in sentence({"const": 24}, 24.0)
    assert Validator({"const": {"a": [24]}}).fault({"a": [24.0]}) is not None
    assert Validator({"enum": [1, {"a": [24]}]}).fault({"a": [24.0]}) is not None
    for schema in ({"const": {"a": [24]}}, {"enum": [1, {"a": [24]}]}):
        assert Validator(schema).fault({"a": [24]}) is None
    for value in (24, 24.0):  # the author wrote a fraction: both are that number
        assert Validator({"const": 24.0}).fault(value) is None
        assert Validator({"enum": [24.0]}).fault(value) is None
        assert Validator({"type": "number", "minimum": 24}).fault(value) is None


def test_a_number_too_large_for_an_integer_is_not_advised() -> None:
    assert "an integer has at most 64 bits" in sentence({"type": "integer"}, 1e300)


def test_counts_written_as_fractions_count() -> None:
    assert Validator({"maxLength": 2.0, "minimum": 1e22}).fault("abc") is not None


def test_a_value_too_large_for_its_schema_is_a_fault() -> None:
    twice = {"$defs": {"node": {"allOf": [{"properties": {"n": NODE}}] * 2}}, **NODE}
    value: Any = 0
    for _ in range(60):
        value = {"n": value}
    assert "no more than its schema checks in" in sentence(twice, value)


def test_kept_validators_are_built_once_also_when_they_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[object] = []

    class Counted(Validator):
        def __init__(self, schema: dict[str, Any]) -> None:
            built.append(schema)
            super().__init__(schema)

    monkeypatch.setattr("registry.schemas.validator.Validator", Counted)
    kept = Validators()
    for _ in range(2):
        assert kept.fault("good", {"type": "object"}, {}) is None
        with pytest.raises(SchemaRefused):
            kept.fault("bad", {"$ref": "#Nowhere"}, {})
    assert len(built) == 2
    assert kept.knows("good")
    assert kept.knows("bad")
    assert not kept.knows("other")


def test_kept_validators_are_bounded_by_their_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.schemas.validator.KEPT_PARTS_MAX", 10)
    kept = Validators()
    for version in "abc":
        kept.fault(version, {"allOf": [{}] * 4}, {})
    assert [kept.knows(version) for version in "abc"] == [False, True, True]


def test_many_parts_that_refer_to_one_are_one_place() -> None:
    """Four thousand properties that each lead to the whole: sixteen million pairs, if they were looked at apart."""
    validator = Validator({"properties": {f"p{i}": {"$ref": "#"} for i in range(4_000)}, "type": "object"})
    assert validator.fault({"p1": {"p2": {}}}) is None
    assert validator.fault({"p1": {"p2": 7}}) is not None
    apart = {"properties": {f"p{i}": {"minimum": i, "$ref": "#"} for i in range(200)}}
    assert "at most 10000 parts" in str(refusal(apart))


def test_nothing_is_ever_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever is thought to lead outside: the engine opens sockets and files without Python, so they are real."""
    (tmp_path / "schema.json").write_text('{"type": "string"}')
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        web = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        for outside in (web, f"{web}#/a", (tmp_path / "schema.json").as_uri()):
            for schema in (
                {"$ref": outside},
                {"$id": outside, "$ref": "#/x"},
                {"$schema": outside},
                {"$dynamicRef": outside},
                {"$defs": {"a": {"$id": outside, "$ref": "other"}}},
                {"extra": {"a": {"$id": outside}}, "$ref": "#/extra/a"},
            ):
                refusal(schema)
            Validator({"const": {"$id": outside, "$ref": outside}, "x": {"$ref": outside}, "$comment": outside}).fault(
                1
            )
            Validator({"$recursiveRef": outside, "id": outside, "dependencies": {"a": {"$ref": outside}}}).fault(
                {"a": 1}
            )
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_path_reads_like_an_expression() -> None:
    assert path_of(["inputs", "frames", 2, "text"]) == "inputs.frames[2].text"
