"""`model.yaml`: what the author says of a model. Every fault is told with its line."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Iterable
from typing import Any, Literal

import msgspec
import yaml

from contract import bounds
from contract.names import is_name
from registry.errors import RegistryError
from registry.schemas import SchemaRefused, Validator, media_fields

FILE = "model.yaml"
YAML_BYTES_MAX = 256 * 1024
YAML_NODES_MAX = 20_000
TIMEOUT_S_MAX = 7 * 86_400
RANKS_MAX = 64
"""A gang needs all its slots free at once. A larger gang would keep too many slots empty while it gathers them."""
_PLATFORM = re.compile(r"(linux|macosx|win)[a-z0-9_]{1,60}|any")
_PYTHON = re.compile(r"3\.\d{1,2}")
_WHERE_MAX = 200


class ModelYaml(msgspec.Struct, frozen=True):
    """The fields of the document. A field without a default here must be given."""

    name: str
    entry_point: str
    """`module:Class`."""
    chipsets: tuple[str, ...]
    timeout_s: int
    """The longest an attempt may run."""
    python: str
    """`"3.11"`."""
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    gpus: int = 1
    """GPUs of one slot; 0 when the only chipset is cpu."""
    ranks: int = 1
    """How many slots of one cluster start one attempt together. More than 1 needs torch in the environment."""
    memory_mib: int = 0
    network: bool = False
    """Ask for the network of the node. The policy (`networks`) says whether the model has it."""
    platform: str = "linux_x86_64"
    """The platform of the wheels in the lock."""


def parse_model_yaml(raw: bytes) -> ModelYaml:
    """RegistryError(invalid) names the line, what was expected and what was found."""
    if len(raw) > YAML_BYTES_MAX:
        raise RegistryError("invalid", f"{FILE}: expected at most {YAML_BYTES_MAX} bytes, found {len(raw)}")
    try:
        root = yaml.compose(raw.decode(), Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise RegistryError("invalid", f"{FILE}: expected UTF-8 text, found other bytes") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "found a character that can't stand in it"
        raise _fault(mark.line + 1 if mark else 1, f"expected YAML; {problem}") from None
    except RecursionError:
        raise _fault(1, "expected YAML, found it nested too deeply") from None
    return _YamlReader().read(root)


def _fault(line: int, message: str) -> RegistryError:
    return RegistryError("invalid", f"{FILE} line {line}: {bounds.visible(message)}")


class _YamlReader:
    """Reads the fields from YAML nodes, which know their lines."""

    def __init__(self) -> None:
        self._nodes = 0

    def read(self, root: yaml.Node | None) -> ModelYaml:
        if not isinstance(root, yaml.MappingNode):
            raise _fault(1, "expected fields (name: value), found none")
        fields = {field.name: field for field in msgspec.structs.fields(ModelYaml)}
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key, node in root.value:
            name, line = str(key.value), _line(key)
            if name not in fields:
                raise _fault(line, f"unknown field {name[:80]!r}; the fields are {', '.join(fields)}")
            if name in values:
                raise _fault(line, f"{name} is given on line {lines[name]} already; keep one")
            lines[name] = line
            values[name] = self._field(name, node)
        for name, field in fields.items():
            if field.required and name not in values:
                raise _fault(1, f"expected a field {name!r}, found none; add it to the document")
        if values["chipsets"] == ("cpu",):
            values.setdefault("gpus", 0)
            if values["gpus"]:
                raise _fault(lines["gpus"], f"expected 0 gpus when the only chipset is cpu, found {values['gpus']}")
        return ModelYaml(**values)

    def _field(self, name: str, node: yaml.Node) -> Any:
        line = _line(node)
        if name in ("inputs", "outputs"):
            return self._schema(name, node)
        value = self._json(node, 0)
        found = repr(value)[:80]
        match name:
            case "name":
                if not isinstance(value, str) or not is_name(value):
                    raise _fault(
                        line, f"name: expected lower case letters, digits, '.', '_', '-', at most 63, found {found}"
                    )
            case "entry_point":
                if not isinstance(value, str) or not _is_entry_point(value):
                    raise _fault(line, f"entry_point: expected 'module:Class', found {found}")
            case "chipsets":
                chips = value if isinstance(value, list) else []
                if not chips or not all(isinstance(chip, str) and is_name(chip) for chip in chips):
                    raise _fault(line, f"chipsets: expected a list of names such as [cuda, cpu], found {found}")
                return tuple(sorted(set(chips)))
            case "python":
                if not isinstance(value, str) or not _PYTHON.fullmatch(value):
                    raise _fault(line, f'python: expected a version in quotes such as "3.11", found {found}')
            case "platform":
                if not isinstance(value, str) or not _PLATFORM.fullmatch(value):
                    raise _fault(line, f"platform: expected a tag such as linux_x86_64, found {found}")
            case "network":
                if not isinstance(value, bool):
                    raise _fault(line, f"network: expected true or false, found {found}")
            case "ranks":
                self._number(name, node, value, 1, RANKS_MAX)
            case "timeout_s":
                self._number(name, node, value, 1, TIMEOUT_S_MAX)
            case _:
                self._number(name, node, value, 0, 2**31 - 1)
        return value

    def _number(self, name: str, node: yaml.Node, value: Any, least: int, most: int) -> None:
        if type(value) is not int or not least <= value <= most:
            raise _fault(
                _line(node), f"{name}: expected a whole number from {least} to {most}, found {repr(value)[:80]}"
            )

    def _schema(self, name: Literal["inputs", "outputs"] | str, node: yaml.Node) -> dict[str, Any]:
        schema = self._json(node, 0)
        if not isinstance(schema, dict):
            raise _fault(_line(node), f"{name}: expected a JSON Schema (a mapping), found {repr(schema)[:80]}")
        try:
            Validator(schema)
            if name == "inputs":
                media_fields(schema)
        except SchemaRefused as refused:
            where = "/".join([name, *map(str, refused.path)])[:_WHERE_MAX]
            raise _fault(_line(_at(node, refused.path)), f"{where}: {refused}") from None
        return schema

    def _json(self, node: yaml.Node, depth: int) -> Any:
        """The node as JSON. A shared node (a YAML alias) counts each time it is met, so aliases cannot blow up."""
        self._nodes += 1
        if self._nodes > YAML_NODES_MAX or depth > 50:
            raise _fault(_line(node), f"expected at most {YAML_NODES_MAX} values nested at most 50 deep, found more")
        if isinstance(node, yaml.MappingNode):
            mapping: dict[str, Any] = {}
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise _fault(_line(key), "expected a word as a field's name, found a list or mapping")
                _check_whole(key, key.value)
                if key.value in mapping:
                    raise _fault(_line(key), f"{key.value[:80]!r} is given twice; keep one")
                mapping[key.value] = self._json(value, depth + 1)
            return mapping
        if isinstance(node, yaml.SequenceNode):
            return [self._json(item, depth + 1) for item in node.value]
        return _scalar(node)


def _scalar(node: yaml.Node) -> Any:
    kind = node.tag.rpartition(":")[2]
    if kind in ("str", "bool", "int", "float", "null"):
        try:
            value = yaml.constructor.SafeConstructor().construct_object(node)
        except (yaml.YAMLError, ValueError, LookupError):  # PyYAML looks `!!bool maybe` and `!!int ""` up
            raise _fault(_line(node), f"expected a value JSON has, found {node.value[:80]!r}") from None
        if not isinstance(value, float) or math.isfinite(value):
            _check_whole(node, value)
            return value
    elif kind == "timestamp":
        return node.value
    raise _fault(_line(node), f"expected a value JSON has, found {node.value[:80]!r}")


def _check_whole(node: yaml.Node, value: Any) -> None:
    """Refuses what the JSON of a manifest does not take: half characters, NUL, numbers of more than 64 bits."""
    fault = bounds.fault_of(value, bounds.VALUE_LEAST, bounds.VALUE_MOST, 0)
    if not fault and isinstance(value, str) and bounds.mended(value) != value:
        fault = "expected text of whole characters, found half a surrogate pair"
    if fault:
        raise _fault(_line(node), fault)


def _is_entry_point(text: str) -> bool:
    module, _, name = text.partition(":")
    parts = [*module.split("."), name]
    return len(text) <= 200 and all(part.isidentifier() and not keyword.iskeyword(part) for part in parts)


def _at(node: yaml.Node, path: Iterable[str | int]) -> yaml.Node:
    """The node that a JSON path leads to, or the last node on the way."""
    for step in path:
        if isinstance(node, yaml.MappingNode):
            found = next((value for key, value in node.value if key.value == str(step)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            found = node.value[step]
        else:
            found = None
        if found is None:
            break
        node = found
    return node


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
