"""`--input name=value`: words from a command line made into the JSON the model's schema asks for."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from cli.errors import WrongUse

_READERS: dict[str, Any] = {"integer": int, "number": float, "boolean": {"true": True, "false": False}.__getitem__}


def read(pairs: list[str], file: str | None, schema: dict[str, Any]) -> dict[str, Any]:
    """The inputs: those of the JSON `file` (`-` = standard input), overridden by each `name=value`.

    A value is a string unless the schema says integer, number or boolean for its name; `name:=JSON` gives any JSON.
    WrongUse names what cannot be read.
    """
    inputs = _from_file(file) if file else {}
    properties = schema.get("properties", {})
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name.rstrip(":"):
            raise WrongUse(f"--input {pair!r}: expected name=value (or name:=JSON)")
        if name.endswith(":"):
            inputs[name[:-1]] = _json(text, f"--input {name[:-1]}")
        else:
            inputs[name] = _typed(name, text, properties.get(name, {}).get("type", "string"))
    return inputs


def _typed(name: str, text: str, kind: Any) -> Any:
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        return text if kind not in ("object", "array", "null") else _json(text, f"--input {name}")
    try:
        return reader(text)
    except (ValueError, KeyError):
        raise WrongUse(f"--input {name}: expected a value of type {kind}, found {text[:80]!r}") from None


def _from_file(file: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
    except OSError as error:
        raise WrongUse(f"--inputs {file}: {error.strerror}") from None
    inputs = _json(text, f"--inputs {file}")
    if not isinstance(inputs, dict):
        raise WrongUse(f"--inputs {file}: expected a JSON object")
    return inputs


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise WrongUse(f"{what}: expected JSON, found a fault at line {error.lineno} column {error.colno}") from None
