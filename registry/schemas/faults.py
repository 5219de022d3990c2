"""Why a value does not fit its schema, in words: where, what was expected, what was found."""

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

EXACT_BELOW = 2**53
"""Every integer below is a float of its own."""


class ValueFault(msgspec.Struct, frozen=True):
    """The first fault in a value."""

    rule: str
    """`#/properties/steps/type`: the keyword of the schema that the value breaks. Only words of the schema's author."""
    path: tuple[str | int, ...]
    """Where in the value. The names in the path may be words of the sender."""
    expected: str
    """In words of the schema."""
    found: str
    """Only the sender of the value may be told this."""

    def sentence(self, what: str) -> str:
        """For the sender. `what` is the sender's name for the value."""
        separator = ";" if "," in self.expected else ","
        return f"{path_of([what, *self.path])}: expected {self.expected}{separator} found {self.found}"

    def reason(self) -> str:
        """For everybody: without any word of the sender."""
        return f"they do not fit the model's schema, rule {self.rule[:SAID_CHARACTERS_MAX]}: expected {self.expected}"


def path_of(parts: Iterable[str | int]) -> str:
    """`inputs.frames[2].text`."""
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path[:SAID_CHARACTERS_MAX]


def is_unwhole(value: Any) -> bool:
    """Whether a number is whole but written with a fraction or exponent."""
    return type(value) is float and value.is_integer()


def fault_at(part: SchemaPart, word: str, path: Iterable[str | int], value: Any) -> ValueFault:
    """The fault of `value` at `path`, which breaks keyword `word` of the part. Empty `word`: nothing fits the part."""
    expected, found = _expected_and_found(part, word, value)
    return ValueFault(_rule(part, word), tuple(path), expected, found)


def fault_unwhole(part: SchemaPart, word: str, path: Iterable[str | int], value: float) -> ValueFault:
    """The fault of a number that would fit if it were written without fraction and exponent."""
    is_held = bounds.VALUE_LEAST <= value <= bounds.VALUE_MOST
    if abs(value) >= EXACT_BELOW and is_held:  # the number as it was read may be another than was written
        advice = "numbers with a fraction are rounded at this size; write it as an integer, with all its digits"
    else:
        advice = f"write {int(value)}" if is_held else "an integer has at most 64 bits"
    return ValueFault(
        _rule(part, word),
        tuple(path),
        "an integer, written without a fraction or exponent",
        f"{msgspec.json.encode(value).decode()}: {advice}",
    )


def too_much() -> ValueFault:
    """The fault of a value whose check would take too much work."""
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
