"""Any schema: publish takes the schema or refuses it with a line, and a schema that it takes checks any inputs."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import jsonschema
import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.codec import Malformed, decode_values
from registry.errors import RegistryError
from registry.model_yaml import parse_model_yaml
from registry.schemas import SchemaRefused, Validator
from tests.unit.registry.samples import MODEL_YAML

Schema = dict[str, Any]

NAMES = ("a", "b", "c", "007", "", "$ref", "é/~%")
REFERENCES = ("#/$defs/a", "#/$defs/b", "#/$defs/c", "#/properties/a", "#there", "#")
BAD_REFERENCES = ("#Nowhere", "#/extra/a", "file:///etc/passwd", "http://127.0.0.1:1/x", "")
PATTERNS = ("^a", "b$", "^[a-z]*$", "a.c", r"^(\w+\s?)*$", "[0-9]{2,3}")
BAD_PATTERNS = ("(?=a)", r"(a)\1", "(", "(a{1000}){1000}")

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers(-(2**63), 2**64 - 1)
    | st.sampled_from([0.5, 24.0, 1e22, -0.0, 5e-324, 1e300])
    | st.text("ab0 é", max_size=4)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


numbers = st.integers(-3, 5) | st.sampled_from([0.5, 2.5, 1.0, 1e-300])
counts = st.integers(0, 3)
LEAVES: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["integer", "number", "string", "object", "array", "null", ["integer", "null"]]),
    "enum": st.lists(values, min_size=1, max_size=3),
    "const": values,
    "minimum": numbers,
    "exclusiveMaximum": numbers,
    "multipleOf": st.sampled_from([1, 2, 0.5]),
    "minLength": counts,
    "maxItems": counts,
    "uniqueItems": st.booleans(),
    "minProperties": counts,
    "minContains": counts,
    "required": st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
    "dependentRequired": st.dictionaries(st.sampled_from(NAMES), st.just(["a"]), max_size=2),
}
ONE: tuple[str, ...] = (
    "not",
    "if",
    "then",
    "else",
    "additionalProperties",
    "propertyNames",
    "unevaluatedProperties",
    "items",
)
ONE += ("contains", "unevaluatedItems")
MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
NAMED = ("dependentSchemas", "properties", "patternProperties")
WORDS = (*LEAVES, *ONE, *MANY, *NAMED, "pattern", "$ref", "$ref")


def schema(draw: st.DrawFn, references: tuple[str, ...], patterns: tuple[str, ...], depth: int) -> Any:
    def inner() -> Any:
        return schema(draw, references, patterns, depth - 1)

    if depth == 0 and draw(st.booleans()):
        return draw(st.booleans())
    found: Schema = {}
    for word in draw(st.lists(st.sampled_from(WORDS), max_size=3)):
        if word in LEAVES:
            found[word] = draw(LEAVES[word])
        elif word == "pattern":
            found[word] = draw(st.sampled_from(patterns))
        elif word == "$ref":
            found[word] = draw(st.sampled_from(references))
        elif depth > 0 and word in ONE:
            found[word] = inner()
        elif depth > 0 and word in MANY:
            found[word] = [inner() for _ in range(draw(st.integers(1, 2)))]
        elif depth > 0:
            names = patterns if word == "patternProperties" else NAMES
            found[word] = {name: inner() for name in draw(st.lists(st.sampled_from(names), max_size=2))}
    return found


@st.composite
def documents(draw: st.DrawFn, *, bad: bool) -> Schema:
    references: tuple[str, ...] = REFERENCES
    patterns: tuple[str, ...] = PATTERNS
    if bad and draw(st.integers(0, 2)) == 0:
        references, patterns = REFERENCES + BAD_REFERENCES, PATTERNS + BAD_PATTERNS
    root: Schema = schema(draw, references, patterns, 2)
    root.setdefault("properties", {}).setdefault("a", True)
    root["$defs"] = {name: schema(draw, references, patterns, 1) for name in ("a", "b")}
    root["$defs"]["c"] = {"$anchor": "there", **schema(draw, references, patterns, 1)}
    if bad and draw(st.integers(0, 19)) == 0:
        root["extra"] = {"a": {"$id": "file:///etc/x"}}
    return root


def yaml_of(schema: Schema) -> bytes:
    head = MODEL_YAML[: MODEL_YAML.index("inputs:")]
    return (head + "inputs:\n  " + json.dumps(schema) + "\noutputs: {type: object}\n").encode()


def test_publish_takes_a_schema_or_refuses_it_with_a_line() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=250, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(documents(bad=True), st.lists(values, min_size=1, max_size=4))
    def publish(document: Schema, inputs: list[Any]) -> None:
        try:
            published = parse_model_yaml(yaml_of(document))
        except RegistryError as refused:
            seen["refused" if refused.code == "invalid" and "model.yaml line " in str(refused) else str(refused)] += 1
            return
        seen["published"] += 1
        validator = Validator(published.inputs)
        for value in inputs:
            try:
                decoded = decode_values(msgspec.json.encode(value), "inputs")
            except Malformed:
                continue
            fault = validator.fault(decoded)
            seen["fits" if fault is None else "does not fit"] += 1
            if fault is not None:
                assert fault.sentence("inputs").startswith("inputs")
                assert fault.rule.startswith("#")
                assert fault.reason()

    publish()
    assert set(seen) == {"published", "refused", "fits", "does not fit"}
    assert seen["published"] >= (seen["published"] + seen["refused"]) / 3, seen
    assert min(seen["fits"], seen["does not fit"], seen["refused"]) > 20, seen


def test_values_fit_as_another_validator_says() -> None:
    """Compared where both mean the same: without whole numbers that are written as fractions."""
    seen: Counter[bool] = Counter()

    def whole(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: whole(item) for name, item in value.items()}
        if isinstance(value, list):
            return [whole(item) for item in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    @settings(max_examples=150, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(documents(bad=False), st.lists(values, min_size=1, max_size=4))
    def compare(document: Schema, inputs: list[Any]) -> None:
        try:
            validator = Validator(document)
        except SchemaRefused:
            return
        other = jsonschema.Draft202012Validator(document)
        for value in map(whole, inputs):
            expected = other.is_valid(value)
            assert (validator.fault(value) is None) == expected, (document, value)
            seen[expected] += 1

    compare()
    assert min(seen[True], seen[False]) > 50, seen
