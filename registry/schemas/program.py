"""The schema that jsonschema-rs is given: written anew from the parts, with the keywords that we know and nothing else.

Three things are written in another way than the author wrote them:
- references lead to `$defs` of ours, so nothing depends on how the engine reads a reference, and none leads outside;
- where the author says integer (or lists whole numbers), a number must be written without fraction or exponent: JSON
  Schema takes 24.0 for an integer, and the model would get a float;
- to find a fault, `anyOf` stands behind two `not`. Otherwise the engine explains a misfit of a union branch by branch,
  which takes exponential time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import jsonschema_rs

from registry.schemas import patterns
from registry.schemas.parts import CLAIMS, LIMITS, MANY, NAMED, NAMED_APART, ONE, ONE_APART, SchemaPart

WHOLE = "urn:headrace:whole"
"""A schema for anything but numbers with a fraction or exponent."""
_WHOLE = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "type": ["integer", "string", "boolean", "null", "array", "object"],
}
"""In draft 4 an integer is a number that JSON text writes without a fraction."""
_REGISTRY = jsonschema_rs.Registry([(WHOLE, _WHOLE)])
_UNUSED = (*NAMED_APART, *ONE_APART)
_INT_MOST = 2**64
EXACT = 2**53
"""The engine compares whole numbers beyond this as texts of digits, and hashes them as if they were rounded."""
UNIONS = ("anyOf", "oneOf")


class SchemaProgram:
    """One schema as the engine gets it. `explaining`: to find where a value does not fit, not whether it fits."""

    def __init__(self, parts: Iterable[SchemaPart], root: SchemaPart, *, explaining: bool) -> None:
        self._root = root
        self._explaining = explaining
        targets = dict.fromkeys(target for part in parts for target in part.references.values())
        targets.pop(root, None)
        self._names = {target: f"d{place}" for place, target in enumerate(targets)}
        self._added: dict[SchemaPart, list[SchemaPart | str]] = {}
        """What stands in `allOf` of a part behind what the author wrote there: the target of a reference, or the
        keyword of the author that was moved there."""
        self.document: dict[str, Any] = self._write(root)
        self.document["$defs"] = {name: self._write(target) for target, name in self._names.items()}

    def compile(self) -> jsonschema_rs.Draft202012Validator:
        return jsonschema_rs.Draft202012Validator(
            self.document,
            offline=True,
            mask="a value",
            validate_formats=False,
            pattern_options=patterns.options(patterns.SIZES[-1]),
            registry=_REGISTRY,
        )

    def place(self, path: Iterable[str | int]) -> tuple[SchemaPart, str]:
        """The part and the keyword of the author to which an evaluation path of the engine leads. An empty keyword: the
        part itself, which is `false`. The engine spells some names of properties alike: there the path is followed only
        as far as it is unambiguous."""
        part, steps = self._root, list(path)
        while steps:
            word = str(steps.pop(0))
            if word == "$ref":
                continue  # it leads to this part, which is written under $defs
            if not steps or (word not in ONE and word not in MANY and word not in NAMED) or word == "propertyNames":
                return part, word
            target = part.one.get(word)
            if word in MANY:
                place, own = steps.pop(0), part.many.get(word, [])
                if not isinstance(place, int):
                    return part, word
                target = own[place] if place < len(own) else None
                if target is None:
                    added = self._added[part][place - len(own)]
                    if not isinstance(added, SchemaPart):
                        return part, added
                    target = added
            elif word in NAMED:
                target = part.named[word].get(str(steps.pop(0)))
            if target is None:
                return part, word
            part = target
        return part, ""

    def _write(self, part: SchemaPart) -> Any:
        if part.always is not None:
            return part.always
        written = {word: part.schema[word] for word in CLAIMS if word in part.schema and word != "enum"}
        for word in LIMITS:
            if word in written:
                written[word] = as_whole(written[word])
        for word, one in part.one.items():
            if word not in _UNUSED:
                written[word] = self._refer(one)
        for word, many in part.many.items():
            written[word] = [self._refer(each) for each in many]
        for word, named in part.named.items():
            if word not in _UNUSED:
                written[word] = {name: self._refer(each) for name, each in named.items()}
        added: list[tuple[SchemaPart | str, Any]] = [
            (target, self._reference(target)) for target in part.references.values()
        ]
        added += _as_author_wrote(part.schema)
        if self._explaining:
            added += [(word, {"not": {"not": {word: written.pop(word)}}}) for word in UNIONS if word in written]
        if added:
            self._added[part] = [whose for whose, _ in added]
            written["allOf"] = [*written.get("allOf", ()), *(schema for _, schema in added)]
        return written

    def _refer(self, part: SchemaPart) -> Any:
        return self._reference(part) if part in self._names else self._write(part)

    def _reference(self, part: SchemaPart) -> dict[str, str]:
        return {"$ref": f"#/$defs/{self._names[part]}" if part in self._names else "#"}


def as_whole(limit: float) -> int | float:
    """A limit without a fraction as a whole number, however the author wrote it: the engine compares whole numbers a
    hundred times faster."""
    return int(limit) if float(limit).is_integer() and abs(limit) <= _INT_MOST else limit


def _as_author_wrote(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """By keyword, what refuses numbers with a fraction or exponent where the author wrote whole numbers."""
    kinds = schema.get("type", ())
    if kinds == "integer" or ("integer" in kinds and "number" not in kinds):
        yield "type", {"$ref": WHOLE}
    if "const" in schema:
        written = _as_written(schema["const"])
        if written is not True:
            yield "const", written
    if "enum" in schema:
        yield "enum", _one_of(schema["enum"])


def _one_of(members: list[Any]) -> Any:
    """A schema for these values, with texts and whole numbers apart: among values of one kind the engine looks a value
    up instead of comparing it with each."""
    texts, numbers, others = kinds_of(members)
    alike = [other for other in others if _as_written(other) is True]
    forms: list[Any] = [{"enum": kind} for kind in (texts, alike) if kind]
    if numbers:
        forms.append({"if": {"$ref": WHOLE}, "then": {"enum": numbers}, "else": False})
    for other in others:
        written = _as_written(other)
        if written is not True:
            forms.append({"const": other, "allOf": [written]})
    return forms[0] if len(forms) == 1 else {"not": {"not": {"anyOf": forms}}} if forms else False


def kinds_of(members: list[Any]) -> tuple[list[str], list[int], list[Any]]:
    """Texts, whole numbers that are compared exactly, and others."""
    texts = [member for member in members if type(member) is str]
    numbers = [member for member in members if type(member) is int and abs(member) <= EXACT]
    others = [m for m in members if type(m) is not str and (type(m) is not int or abs(m) > EXACT)]
    return texts, numbers, others


def _as_written(value: Any) -> Any:
    """A schema that a copy of the value fits only when its whole numbers are written without fraction and exponent."""
    if type(value) is int:
        return {"$ref": WHOLE}
    if isinstance(value, list):
        items = [_as_written(item) for item in value]
        return True if all(item is True for item in items) else {"prefixItems": items}
    if isinstance(value, dict):
        properties = {name: _as_written(item) for name, item in value.items()}
        return True if all(item is True for item in properties.values()) else {"properties": properties}
    return True
