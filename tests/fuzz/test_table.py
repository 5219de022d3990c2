"""The table has every door: each decoder of the contract, each route of the API, and each place in the product that
decodes what somebody else wrote."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

from api.app import OPERATIONS
from contract import codec
from tests.fuzz.door import FOUND, file_of, found
from tests.fuzz.doors import DOORS, ELSEWHERE, OURS
from tests.unit.architecture.product import ROOT, SOURCES

OFFERED = {name for door in DOORS for name in door.decoders}
DECODING = ("decode", "convert", "loads", "safe_load", "compose", "b64decode", "urlsafe_b64decode", "Decoder", "reader")
OWNERS = ("msgspec", "json", "yaml", "tomllib", "base64", "csv", "ast")


@pytest.mark.parametrize("name", [name for name in vars(codec) if name.startswith("decode_")])
def test_every_decoder_of_the_contract_is_a_door(name: str) -> None:
    assert f"contract.codec.{name}" in OFFERED


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
def test_every_route_is_a_door(operation: object) -> None:
    method, path = operation.method, operation.path  # type: ignore[attr-defined]
    assert f"{method} {path}" in OFFERED


def test_what_the_table_names_is_there() -> None:
    for name in OFFERED - {f"{each.method} {each.path}" for each in OPERATIONS}:
        module, *parts = split(name)
        thing: object = importlib.import_module(module)
        for part in parts:
            thing = inspect.getattr_static(thing, part)
    for path in ELSEWHERE.values():
        assert (ROOT / path).exists(), path


def split(name: str) -> list[str]:
    """The module and what is looked up in it."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if (ROOT / Path(*parts[:length])).with_suffix(".py").exists() or (
            ROOT / Path(*parts[:length], "__init__.py")
        ).exists():
            return [".".join(parts[:length]), *parts[length:]]
    raise AssertionError(f"expected a name of the product, found {name}")


def decodes(path: Path) -> bool:
    """Whether the file calls a decoder of a library."""
    source = path.read_text()
    if not any(f".{name}" in source for name in DECODING):  # parsing every file takes a second
        return False
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in DECODING:
            owner = node.value
            while isinstance(owner, ast.Attribute):
                owner = owner.value
            if isinstance(owner, ast.Name) and owner.id in OWNERS:
                return True
    return False


def test_every_file_that_decodes_is_behind_a_door_or_reads_our_own_bytes() -> None:
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in SOURCES if decodes(path)}
    offered = {split(name)[0] for name in OFFERED if "/" not in name}
    assert sorted(modules - offered - OURS.keys()) == [], "put the door into the table, or say why the bytes are ours"
    assert sorted(OURS.keys() - modules) == [], "these decode nothing any more"


def test_each_file_of_examples_is_of_a_door() -> None:
    files = {file_of(door) for door in DOORS}
    assert len(files) == len(DOORS)
    assert {path.name for path in FOUND.glob("*.txt")} <= files
    assert sum(len(found(door)) for door in DOORS) > 10
