"""Words of a command line made into inputs, and what cannot be."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.errors import WrongUse
from cli.job_inputs import read
from registry.schemas import Validator

SCHEMA = {
    "properties": {
        "steps": {"type": "integer"},
        "scale": {"type": "number"},
        "on": {"type": "boolean"},
        "shape": {"type": "array"},
        "any": True,
    }
}


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("prompt=a heron=1", "a heron=1"),
        ("steps=24", 24),
        ("steps=9007199254740993", 9007199254740993),
        ("scale=7.5", 7.5),
        ("scale=7", 7),
        ("on=true", True),
        ("shape=[1, 2]", [1, 2]),
        ("any=5", "5"),
        ("any:=5", 5),
    ],
)
def test_a_value_is_what_the_schema_says(pair: str, expected: Any) -> None:
    (value,) = read([pair], None, SCHEMA).values()
    assert value == expected
    assert type(value) is type(expected)


def test_an_integer_with_a_fraction_is_refused_by_the_same_rule_in_both_spellings() -> None:
    """The number goes to the API as it is written, and the API says this sentence."""
    validator = Validator(SCHEMA)
    said = set()
    for pair in ("steps:=24.0", "steps=24.0"):
        fault = validator.fault(read([pair], None, SCHEMA))
        assert fault is not None
        said.add(fault.sentence("inputs"))
    assert said == {"inputs.steps: expected an integer, written without a fraction or exponent; found 24.0: write 24"}


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("steps", "expected name=value"),
        (":=5", "expected name=value"),
        ("steps=many", "expected a value of type integer, found 'many'"),
        ("steps=inf", "expected a value of type integer"),
        ("scale=nan", "expected a value of type number"),
        ("on=yes", "expected a value of type boolean"),
        ("shape=[1,", "expected JSON, found a fault at line 1 column 4"),
        ("x:=1e999", "found one that no number type holds"),
        ("x:=NaN", "expected a value as JSON"),
        ('x:="\\ud83d"', "half a surrogate pair"),
        ('x:="\\u0000"', "NUL"),
        ("x:=" + "[" * 5_000 + "]" * 5_000, "at most 64 deep"),
        ("prompt=\udcff", "expected text in UTF-8"),
    ],
)
def test_what_cannot_be_read_is_named(pair: str, says: str) -> None:
    with pytest.raises(WrongUse) as caught:
        read([pair], None, SCHEMA)
    assert says in str(caught.value)
    str(caught.value).encode()


def test_inputs_of_a_file_are_overridden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inputs.json").write_bytes('{"prompt": "é", "steps": 1}'.encode())
    assert read(["steps=2"], str(tmp_path / "inputs.json"), SCHEMA) == {"prompt": "é", "steps": 2}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"a": 1}')))
    assert read([], "-", SCHEMA) == {"a": 1}


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"[1]", "expected a JSON object"), (b'{"a":\n1 2}', "line 2 column 3"), (b'{"a": "\xff"}', "in UTF-8")],
)
def test_a_file_that_holds_no_inputs_is_named(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "inputs.json").write_bytes(content)
    with pytest.raises(WrongUse) as caught:
        read([], str(tmp_path / "inputs.json"), SCHEMA)
    assert "--inputs" in str(caught.value)
    assert says in str(caught.value)
    with pytest.raises(WrongUse):
        read([], str(tmp_path / "none.json"), SCHEMA)
