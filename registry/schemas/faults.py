"""Where a value does not fit its schema, in words: what was expected, what was found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from contract import bounds
from registry.schemas.parts import SchemaPart, pointer
from registry.schemas.weight import WORK_MAX

SAID_CHARACTERS_MAX = 200
_KINDS = {
    str: "string",
    bool: "boolean",
    type(None): "null",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
}


class ValueFault(msgspec.Struct, frozen=True):
    """The first fault of a value."""

    rule: str
    """`#/properties/steps/type`: which keyword of the schema. Its author's words only."""
    path: tuple[str | int, ...]
    """Where in the value. Names in it may be the sender's own words."""
    expected: str
    """In the schema's words."""
    found: str
    """What of it only its sender may be told."""

    def sentence(self, what: str) -> str:
        """For the sender: `what` is what he calls the value."""
        separator = ";" if "," in self.expected else ","
        return f"{path_of([what, *self.path])}: expected {self.expected}{separator} found {self.found}"

    def reason(self) -> str:
        """For everybody: no word of the sender's."""
        return f"they do not fit the model's schema, rule {self.rule[:SAID_CHARACTERS_MAX]}: expected {self.expected}"


def path_of(parts: Iterable[str | int]) -> str:
    """`inputs.frames[2].text`."""
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path[:SAID_CHARACTERS_MAX]


def is_unwhole(value: Any) -> bool:
    """A number that is whole but not written so."""
    return type(value) is float and value.is_integer()


def fault_at(part: SchemaPart, word: str, path: Iterable[str | int], value: Any) -> ValueFault:
    """The fault of `value`, which lies at `path` and breaks keyword `word` of the part ("": nothing fits the part)."""
    expected, found = _expected_and_found(part, word, value)
    return ValueFault(_rule(part, word), tuple(path), expected, found)


def fault_unwhole(part: SchemaPart, word: str, path: Iterable[str | int], value: float) -> ValueFault:
    """The fault of a number that would fit if it were written as a whole one."""
    is_held = bounds.VALUE_LEAST <= value <= bounds.VALUE_MOST
    advice = f"write {int(value)}" if is_held else "an integer has at most 64 bits"
    return ValueFault(
        _rule(part, word),
        tuple(path),
        "an integer, written without a fraction or exponent",
        f"{msgspec.json.encode(value).decode()}: {advice}",
    )


def too_much() -> ValueFault:
    """The fault of a value that is too large for what its schema does with it."""
    return ValueFault(
        "#",
        (),
        f"no more than its schema checks in {WORK_MAX} steps",
        "more; send fewer values, shorter texts, or lists and objects in each other less deep",
    )


def _rule(part: SchemaPart, word: str) -> str:
    return pointer((*part.path, word) if word else part.path)


def _expected_and_found(part: SchemaPart, word: str, found: Any) -> tuple[str, str]:
    schema = part.schema
    said: Any = schema.get(word)
    kind = _KINDS.get(type(found), "something else")
    match word:
        case "required" if isinstance(found, dict):
            missing = [name for name in said if name not in found]
            return f"the properties {_listed(said)}", f"no {_listed(missing)}"
        case "additionalProperties" if isinstance(found, dict) and "patternProperties" not in schema:
            known = schema.get("properties", {})
            others = sorted(name for name in found if name not in known)
            return f"no properties but {_listed(known) or 'none'}", _listed(others)
        case "additionalProperties" | "unevaluatedProperties":
            return "no properties that the schema does not name", "others"
        case "unevaluatedItems" | "items" if said is False:
            return "no further items", "more"
        case "type":
            return said if isinstance(said, str) else " or ".join(said), kind
        case "enum":
            return f"one of {_said(said)}", f"another {kind}"
        case "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties":
            bound = "at least" if word.startswith("min") else "at most"
            unit = {"Length": "characters", "Items": "items", "Properties": "properties"}[word[3:]]
            return f"{bound} {said} {unit}", f"{len(found)}"
        case "uniqueItems":
            return "items that differ", "two that are the same"
        case "anyOf" | "oneOf":
            one = "one" if word == "anyOf" else "exactly one"
            return f"what fits {one} of {len(said)} forms ({word} {_said(said)})", f"{kind} that does not"
        case "":
            return "nothing here", kind
        case _:
            return f"{word} {_said(said)}", f"{'a number' if kind in ('integer', 'number') else kind} that is not"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)[:SAID_CHARACTERS_MAX]


def _said(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:SAID_CHARACTERS_MAX]
