"""Faults of inputs, said without quoting them."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from api.catalog import expected_and_found, path_of

SECRET = "a heron at dawn"


@pytest.mark.parametrize(
    ("schema", "value", "expected", "found"),
    [
        ({"type": "string"}, 7, "string", "integer"),
        ({"type": ["string", "null"]}, True, "string or null", "boolean"),
        ({"required": ["prompt", "seed"]}, {"seed": 1}, "the properties prompt, seed", "no prompt"),
        ({"enum": ["a", 2]}, SECRET, 'one of ["a",2]', "another string"),
        ({"maxLength": 3}, SECRET, "at most 3 characters", "15"),
        ({"minItems": 2}, [SECRET], "at least 2 items", "1"),
        ({"maximum": 3}, 4, "maximum 3", "a number that is not"),
        ({"pattern": "^x"}, SECRET, 'pattern "^x"', "string that is not"),
        (
            {"properties": {"a": {}}, "additionalProperties": False},
            {"a": 1, "b": SECRET},
            "no properties but a",
            "b",
        ),
    ],
)
def test_a_fault_says_what_was_expected_and_found(
    schema: dict[str, Any], value: Any, expected: str, found: str
) -> None:
    fault = best_match(Draft202012Validator(schema).iter_errors(value))
    assert expected_and_found(fault) == (expected, found)
    assert SECRET not in "".join(expected_and_found(fault))


def test_a_path_reads_like_an_expression() -> None:
    assert path_of(["inputs", "frames", 2, "text"]) == "inputs.frames[2].text"
