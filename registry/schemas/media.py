"""The fields of an input schema that take media: `format: video`, `image` or `audio`, and `media` beside it.

A field is a property of the whole, of type string, or a list of such strings. Elsewhere these words are refused when
the version is published: nobody would look for media there, and the model would get a name in place of a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from contract.media import KINDS, MEDIA_MAX, PREPARED_BYTES_MAX, MediaRule, prepared_bytes_max, rule_fault
from registry.answers import Answers
from registry.schemas.parts import Path, SchemaPart, SchemaRefused, read_parts

RULE_WORD = "media"
KEPT_MAX = 10_000
"""Versions of which a door keeps the fields."""

MediaRules = dict[str, tuple[str, MediaRule]]
"""As contract.media.rules_digest takes them."""


class MediaField(NamedTuple):
    kind: str
    rule: MediaRule
    is_list: bool


def media_fields(schema: dict[str, Any]) -> dict[str, MediaField]:
    """By name, in the schema's order. SchemaRefused: media words in another place, or a rule that nobody can keep."""
    fields: dict[str, MediaField] = {}
    for part in read_parts(schema).values():
        if part.schema.get("format") in KINDS:
            name = _field_of(part, schema)
            fields[name] = MediaField(part.schema["format"], _rule_of(part), is_list=len(part.path) > 2)
        elif RULE_WORD in part.schema:
            raise SchemaRefused(
                (*part.path, RULE_WORD),
                f"expected format: {', '.join(KINDS)} beside {RULE_WORD}, found another or none; add it",
            )
    if len(fields) > MEDIA_MAX:
        raise SchemaRefused((), f"expected at most {MEDIA_MAX} properties that take media, found {len(fields)}")
    together = sum(prepared_bytes_max(field.kind, field.rule) for field in fields.values())
    if together > PREPARED_BYTES_MAX:
        raise SchemaRefused(
            (),
            f"expected prepared media of at most {PREPARED_BYTES_MAX} bytes of all properties together, found rules"
            f" that allow {together}: lower frames_max, longest_side or width and height",
        )
    return fields


def rules_of(fields: Mapping[str, MediaField]) -> MediaRules:
    return {name: (field.kind, field.rule) for name, field in fields.items()}


def takes(field: MediaField) -> str:
    """What may be sent, in words."""
    rule = field.rule
    words = [f"{'each ' if field.is_list else ''}{field.kind}, at most {rule.bytes_max / 1_000_000:g} MB"]
    if field.kind != "image":
        words.append(f"at most {rule.seconds_max:g} s")
    if field.kind == "video":
        words.append(f"at most {rule.fps_max} frames a second")
    if field.kind != "audio":
        words.append(f"sides of {rule.side_min} to {rule.side_max} pixels, at most {rule.pixels_max / 1_000_000:g} MP")
    return ", ".join(words)


def gives(field: MediaField) -> str:
    """What the model gets of it, in words."""
    rule = field.rule
    if field.kind == "audio":
        return f"{rule.sample_rate} samples a second, channels: {rule.channels}, as {rule.form}"
    if rule.width:
        size = f"{rule.width} x {rule.height} pixels ({rule.fit})"
    else:
        size = f"sides of at most {rule.longest_side} pixels, multiples of {rule.side_multiple}"
    if field.kind == "image":
        return f"{size}, as {rule.form}"
    step = f", {rule.frames_min} and a multiple of {rule.frames_step}" if rule.frames_step > 1 else ""
    frames = f"{rule.frames_min} to {rule.frames_max} frames{step} at {rule.fps} a second"
    return f"{size}, {frames}, as {rule.form}"


class MediaFields:
    """The fields of versions, kept: the schema of a version never changes. Threads may share it."""

    def __init__(self) -> None:
        self._fields: Answers[str, dict[str, MediaField] | SchemaRefused] = Answers(KEPT_MAX)

    def of(self, version: str, schema: dict[str, Any]) -> dict[str, MediaField]:
        """As media_fields. SchemaRefused for a version that a release before media let in."""
        found = self._fields.get(version, lambda: _fields_or_refused(schema))
        if isinstance(found, SchemaRefused):
            raise SchemaRefused(found.path, str(found))
        return found


def _fields_or_refused(schema: dict[str, Any]) -> dict[str, MediaField] | SchemaRefused:
    try:
        return media_fields(schema)
    except SchemaRefused as refused:
        return refused


def _field_of(part: SchemaPart, schema: dict[str, Any]) -> str:
    """The property that this part describes, or whose items it describes. SchemaRefused."""
    kind = part.schema["format"]
    match part.path:
        case ("properties", str(name)):
            whole, wanted = part.schema, "string"
        case ("properties", str(name), "items"):
            whole, wanted = schema["properties"][name], "array"
        case _:
            raise SchemaRefused(
                (*part.path, "format"),
                f"expected format: {kind} at a property of the whole, or at the items of one, found it elsewhere; write"
                " it there, without $ref",
            )
    if whole.get("type") != wanted or part.schema.get("type") != "string":
        raise SchemaRefused(
            (*part.path, "format"),
            f"expected format: {kind} at a property of type string, or at items of type string of a property of type"
            " array, found another type",
        )
    return name


def _rule_of(part: SchemaPart) -> MediaRule:
    place: Path = (*part.path, RULE_WORD)
    try:
        rule = msgspec.convert(part.schema.get(RULE_WORD, {}), MediaRule)
    except msgspec.ValidationError as error:
        raise SchemaRefused(place, f"expected limits as the guide lists them, found: {error}") from None
    fault = rule_fault(part.schema["format"], rule)
    if fault:
        raise SchemaRefused(place, fault)
    return rule
