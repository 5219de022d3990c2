"""`--input name=value`: makes the words of a command line into the JSON that the schema of the model asks for."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from cli.errors import WrongUse
from contract.bounds import mended
from contract.codec import Malformed, decode_values
from contract.media import KINDS

_ONE, _LIST = "one", "list"


class MediaFile(NamedTuple):
    """A file of this machine that an input names by `@FILE`."""

    path: Path


def read(pairs: list[str], file: str | None, schema: dict[str, Any]) -> dict[str, Any]:
    """The inputs: those of the JSON `file` (`-`: standard input), each overridden by its `name=value`.

    A value is a string, unless the schema says integer, number or boolean for its name. `name:=JSON` takes any JSON. A
    number stays as it is written: the API says whether 24.0 is taken. Where the schema asks for media, `name=@FILE` is
    a MediaFile (`with_files`); for a list of media, one more each time. WrongUse names what cannot be read.
    """
    inputs = _from_file(file) if file else {}
    properties = schema.get("properties", {})
    for pair in pairs:
        if mended(pair) != pair:
            raise WrongUse(f"--input {mended(pair)!r}: expected text in UTF-8, found other bytes")
        name, separator, text = pair.partition("=")
        if not separator or not name.rstrip(":"):
            raise WrongUse(f"--input {pair!r}: expected name=value (or name:=JSON)")
        if name.endswith(":"):
            inputs[name[:-1]] = _json(text.encode(), f"--input {name[:-1]}")
        elif text.startswith("@") and (kind := _media_of(properties.get(name))):
            file_here = MediaFile(Path(text[1:]).expanduser())
            brought = [one for one in inputs.get(name, []) if isinstance(one, MediaFile)] if kind == _LIST else []
            inputs[name] = [*brought, file_here] if kind == _LIST else file_here
        else:
            asked = properties.get(name)
            inputs[name] = _typed(name, text, asked.get("type", "string") if isinstance(asked, dict) else "string")
    return inputs


def with_files(inputs: dict[str, Any], bring: Callable[[Path], str]) -> dict[str, Any]:
    """The inputs with a name in place of each file, which `bring` gives."""
    return {
        name: [_brought(one, bring) for one in value] if isinstance(value, list) else _brought(value, bring)
        for name, value in inputs.items()
    }


def _brought(value: Any, bring: Callable[[Path], str]) -> Any:
    return bring(value.path) if isinstance(value, MediaFile) else value


def _media_of(asked: Any) -> str:
    """Whether the schema of a property asks for media: for one, for a list of them, or (empty) not."""
    if not isinstance(asked, dict):
        return ""
    if asked.get("format") in KINDS:
        return _ONE
    items = asked.get("items")
    return _LIST if isinstance(items, dict) and items.get("format") in KINDS else ""


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not math.isfinite(number):
            raise
        return number


_READERS: dict[str, Callable[[str], Any]] = {
    "integer": _number,
    "number": _number,
    "boolean": {"true": True, "false": False}.__getitem__,
}


def _typed(name: str, text: str, kind: Any) -> Any:
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        return text if kind not in ("object", "array", "null") else _json(text.encode(), f"--input {name}")
    try:
        return reader(text)
    except (ValueError, KeyError):
        raise WrongUse(f"--input {name}: expected a value of type {kind}, found {text[:80]!r}") from None


def _from_file(file: str) -> dict[str, Any]:
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise WrongUse(f"--inputs {file}: {error.strerror}") from None
    inputs = _json(raw, f"--inputs {file}")
    if not isinstance(inputs, dict):
        raise WrongUse(f"--inputs {file}: expected a JSON object")
    return inputs


def _json(raw: bytes, what: str) -> Any:
    try:
        return decode_values(raw, "a value")
    except Malformed as malformed:
        raise WrongUse(f"{what}: {_place_of_fault(raw) or malformed}") from None


def _place_of_fault(raw: bytes) -> str:
    """Where the bytes stop being JSON. Empty: they are JSON, but no door takes it."""
    try:
        json.loads(raw)
    except json.JSONDecodeError as error:
        return f"expected JSON, found a fault at line {error.lineno} column {error.colno}"
    except (ValueError, RecursionError):
        return ""
    return ""
