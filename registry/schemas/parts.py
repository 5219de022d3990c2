"""A JSON Schema as a tree of parts, each at its place in the document: the schema itself and every schema in it.

A part applies schemas *here*, to its own value (allOf, not, $ref, …), and *below*, to the values inside that value
(items, properties, …). What stands under a keyword that we do not know is no part: nothing may refer to it, and it is
not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec

from contract import bounds

Path = tuple[str | int, ...]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

ONE_HERE = ("not", "if", "then", "else")
MANY_HERE = ("allOf", "anyOf", "oneOf")
NAMED_HERE = ("dependentSchemas",)
ONE_BELOW = ("items", "contains", "unevaluatedItems", "additionalProperties", "unevaluatedProperties", "propertyNames")
MANY_BELOW = ("prefixItems",)
NAMED_BELOW = ("properties", "patternProperties")
ONE_APART = ("contentSchema",)
NAMED_APART = ("$defs", "definitions")
REFERENCES = ("$ref", "$dynamicRef")

ONE = ONE_HERE + ONE_BELOW + ONE_APART
MANY = MANY_HERE + MANY_BELOW
NAMED = NAMED_HERE + NAMED_BELOW + NAMED_APART
LIMITS = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems",
    "maxItems", "minContains", "maxContains", "minProperties", "maxProperties",
)  # fmt: skip
CLAIMS = ("type", "const", "enum", "pattern", "uniqueItems", "required", "dependentRequired", *LIMITS)
"""Keywords that restrict a value without another schema."""
_DATA = ("const", "enum", "default", "examples")
"""Keywords whose value is data: a name inside is no keyword."""
_TYPES = ("string", "integer", "number", "boolean", "object", "array", "null")
_MESSAGE_CHARACTERS_MAX = 200
_QUOTED_MAX = 80


class SchemaRefused(ValueError):
    """No door takes this schema. The message says what was expected, what was found and what to do. It may quote the
    schema and nothing else. `path` leads to the fault."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


class SchemaPart:
    """One schema of the document."""

    __slots__ = ("always", "many", "named", "one", "path", "references", "schema")

    def __init__(self, path: Path, schema: Any) -> None:
        self.path = path
        self.always: bool | None = schema if isinstance(schema, bool) else None
        """True: everything fits. False: nothing fits. None: the keywords say what fits."""
        self.schema: dict[str, Any] = schema if isinstance(schema, dict) else {}
        self.one: dict[str, SchemaPart] = {}
        self.many: dict[str, list[SchemaPart]] = {}
        self.named: dict[str, dict[str, SchemaPart]] = {}
        self.references: dict[str, SchemaPart] = {}
        """Where `$ref` and `$dynamicRef` lead. registry.schemas.references fills this."""

    def here(self) -> Iterator[SchemaPart]:
        """The parts that this part applies to its own value."""
        for word in ONE_HERE:
            if word in self.one:
                yield self.one[word]
        for word in MANY_HERE:
            yield from self.many.get(word, ())
        for word in NAMED_HERE:
            yield from self.named.get(word, {}).values()
        yield from self.references.values()

    def below(self) -> Iterator[SchemaPart]:
        """The parts that this part applies to the values inside its value, and to names of properties."""
        for word in ONE_BELOW:
            if word in self.one:
                yield self.one[word]
        for word in MANY_BELOW:
            yield from self.many.get(word, ())
        for word in NAMED_BELOW:
            yield from self.named.get(word, {}).values()

    def stands_for(self) -> SchemaPart:
        """The part that this part refers to, when it does nothing else; otherwise the part itself. The part that it
        refers to may refer on: this follows one step."""
        if len(self.references) == 1 and not (self.one or self.many or self.named):
            (target,) = self.references.values()
            return self if any(word in self.schema for word in CLAIMS) else target
        return self

    def unevaluated(self) -> bool:
        """Whether the part asks what the parts *here* have looked at."""
        return "unevaluatedProperties" in self.one or "unevaluatedItems" in self.one


def pointer(path: Path) -> str:
    """`#/properties/steps/type`: the path as a reference writes it."""
    return "#" + "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def read_parts(schema: dict[str, Any]) -> dict[Path, SchemaPart]:
    """Every part by its path, whose steps are all texts. The path of the root is (). SchemaRefused for a schema that no
    door takes."""
    fault = bounds.fault_of(schema, bounds.VALUE_LEAST, bounds.VALUE_MOST, bounds.DEPTH_MAX)
    if fault:
        raise SchemaRefused((), fault)
    _check_words(schema)
    try:
        jsonschema_rs.meta.validate(schema)
    except jsonschema_rs.ValidationError as error:
        path = tuple(error.instance_path)
        if path[-1:] == ("type",):
            found = msgspec.json.encode(error.instance).decode()[:_QUOTED_MAX]
            raise SchemaRefused(
                path, f"expected one of {', '.join(_TYPES)}, or a list of them, found {found}"
            ) from None
        raise SchemaRefused(path, error.message[:_MESSAGE_CHARACTERS_MAX]) from None
    parts: dict[Path, SchemaPart] = {}
    _grow(parts, (), schema)
    return parts


def _grow(parts: dict[Path, SchemaPart], path: Path, schema: Any) -> SchemaPart:
    part = parts[tuple(map(str, path))] = SchemaPart(path, schema)
    for word, value in part.schema.items():
        if word in ONE:
            part.one[word] = _grow(parts, (*path, word), value)
        elif word in MANY:
            part.many[word] = [_grow(parts, (*path, word, place), item) for place, item in enumerate(value)]
        elif word in NAMED:
            part.named[word] = {name: _grow(parts, (*path, word, name), item) for name, item in value.items()}
    return part


def _check_words(schema: dict[str, Any]) -> None:
    """Refuses what would move the base of references or change the dialect, also below keywords that we do not know."""
    waiting: list[tuple[Path, Any, bool]] = [((), schema, False)]
    while waiting:
        path, value, names = waiting.pop()
        if isinstance(value, list):
            waiting += [((*path, place), item, False) for place, item in enumerate(value)]
        elif isinstance(value, dict):
            for word, item in value.items():
                here = (*path, word)
                if names:
                    waiting.append((here, item, False))
                    continue
                if word == "$id":
                    raise SchemaRefused(
                        here, "expected a schema without $id, found one; references lead inside the schema without it"
                    )
                if word == "$schema" and str(item).rstrip("#") != DIALECT:
                    raise SchemaRefused(
                        here, f"expected JSON Schema of draft 2020-12 ({DIALECT}), found {str(item)[:_QUOTED_MAX]!r}"
                    )
                if word not in _DATA:
                    waiting.append((here, item, word in NAMED))
