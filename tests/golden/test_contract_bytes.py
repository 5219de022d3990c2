"""Every record ever written stays readable: golden bytes of each version, and the committed schemas."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract import codec, schemas
from tests.golden.samples import sample

HERE = Path(__file__).parent
GOLDEN = HERE / "records.jsonl"
"""One record on each line. Lines are only added, never edited: `python -m tests.golden.test_contract_bytes` adds
them."""
BASELINE = HERE / "contract_baseline.schema.json"


def golden() -> dict[str, list[bytes]]:
    """The lines of each type, oldest first. A type that gained an optional field has one line more."""
    lines: dict[str, list[bytes]] = {}
    for line in GOLDEN.read_bytes().splitlines():
        lines.setdefault(json.loads(line)["type"], []).append(line)
    return lines


@pytest.mark.parametrize("kind", schemas.record_types(), ids=lambda kind: codec.tag_of(kind))
def test_golden_bytes_decode_and_encode_to_themselves(kind: type[msgspec.Struct]) -> None:
    line = golden()[codec.tag_of(kind)][-1]
    record = msgspec.json.decode(line, type=kind)
    assert codec.encode(record) == line
    assert record == sample(kind)


@pytest.mark.parametrize("kind", schemas.record_types(), ids=lambda kind: codec.tag_of(kind))
def test_older_golden_bytes_still_say_what_they_said(kind: type[msgspec.Struct]) -> None:
    for line in golden()[codec.tag_of(kind)]:
        assert _says(json.loads(codec.encode(msgspec.json.decode(line, type=kind))), json.loads(line))


def _says(now: Any, then: Any) -> bool:
    """Whether `now` says everything that `then` said. Fields may have been added."""
    if isinstance(then, dict):
        return isinstance(now, dict) and all(name in now and _says(now[name], then[name]) for name in then)
    if isinstance(then, list):
        return isinstance(now, list) and len(now) == len(then) and all(map(_says, now, then))
    return bool(now == then)


def test_no_golden_record_was_forgotten() -> None:
    assert set(golden()) == {codec.tag_of(kind) for kind in schemas.record_types()}


def test_contract_is_compatible_with_its_baseline() -> None:
    assert schemas.incompatibilities(json.loads(BASELINE.read_text()), schemas.json_schema()) == []


def _vanish(document: dict[str, Any]) -> None:
    del document["$defs"]["JobAccepted"]


def _drop_field(document: dict[str, Any]) -> None:
    del document["$defs"]["JobAccepted"]["properties"]["tenant"]


def _retype(document: dict[str, Any]) -> None:
    document["$defs"]["JobAccepted"]["properties"]["offset"] = {"type": "string"}


def _require(document: dict[str, Any]) -> None:
    document["$defs"]["JobAccepted"]["properties"]["colour"] = {"type": "string"}
    document["$defs"]["JobAccepted"]["required"].append("colour")


def _narrow_union(document: dict[str, Any]) -> None:
    document["$defs"]["NodeReport"]["properties"]["reports"]["items"]["anyOf"].pop()


@pytest.mark.parametrize("change", [_vanish, _drop_field, _retype, _require, _narrow_union])
def test_a_breaking_change_is_named(change: Any) -> None:
    changed = copy.deepcopy(schemas.json_schema())
    change(changed)
    faults = schemas.incompatibilities(schemas.json_schema(), changed)
    assert len(faults) == 1
    assert faults[0].startswith(("JobAccepted", "NodeReport"))


def test_an_optional_field_is_no_breaking_change() -> None:
    changed = copy.deepcopy(schemas.json_schema())
    changed["$defs"]["JobAccepted"]["properties"]["colour"] = {"type": "string", "default": ""}
    assert schemas.incompatibilities(schemas.json_schema(), changed) == []


def test_generated_documents_are_fresh() -> None:
    spec = importlib.util.spec_from_file_location("generate", HERE.parents[1] / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert generate.stale() == [], "run `make generate`"


def write_new_golden_lines() -> None:
    known = golden() if GOLDEN.exists() else {}
    with GOLDEN.open("ab") as file:
        for kind in schemas.record_types():
            line = codec.encode(sample(kind))
            if line not in known.get(codec.tag_of(kind), []):
                file.write(line + b"\n")


if __name__ == "__main__":
    write_new_golden_lines()
