"""Patterns, matched in linear time. The size of the program of a pattern bounds its cost for each byte of text."""

from __future__ import annotations

import re
from typing import Any

import jsonschema_rs

from registry.schemas.parts import Path, SchemaPart, SchemaRefused

SMALL_BYTES = 1_200
"""A program up to this size has a table of every state that it can be in, and reads a byte in about 3 ns."""
SIZES: tuple[int, ...] = tuple(SMALL_BYTES * 2**step for step in range(7))
"""A larger program may follow every possibility at each byte: up to 0.4 ns for each byte of its size (measured)."""
PATTERNS_MAX = 1_000
TOGETHER_BYTES_MAX = 1024 * 1024
"""Of all patterns of one schema. A process keeps many schemas."""
_NOT_LINEAR = re.compile(r"\(\?<?[=!]|\\[1-9]|\\k<")
_QUOTED_MAX = 80


def options(size: int) -> Any:
    """Options of a validator that matches patterns in linear time."""
    return jsonschema_rs.RegexOptions(size_limit=size)


def program_sizes(parts: dict[Path, SchemaPart]) -> dict[str, int]:
    """Each pattern with the size of its program in bytes, rounded up. SchemaRefused for one that no door takes."""
    sizes: dict[str, int] = {}
    for part in parts.values():
        found = [
            (pattern, (*part.path, "patternProperties", pattern)) for pattern in part.named.get("patternProperties", ())
        ]
        if "pattern" in part.schema:
            found.append((part.schema["pattern"], (*part.path, "pattern")))
        for pattern, place in found:
            if pattern not in sizes:
                sizes[pattern] = _program_size(pattern, place)
            if len(sizes) > PATTERNS_MAX or sum(sizes.values()) > TOGETHER_BYTES_MAX:
                raise SchemaRefused(
                    place,
                    f"expected at most {PATTERNS_MAX} patterns whose programs take {TOGETHER_BYTES_MAX} bytes together,"
                    " found more",
                )
    return sizes


def _program_size(pattern: str, place: Path) -> int:
    for size in SIZES:
        try:
            jsonschema_rs.Draft202012Validator({"pattern": pattern}, offline=True, pattern_options=options(size))
        except jsonschema_rs.ValidationError:
            continue
        return size
    if _NOT_LINEAR.search(pattern):
        what = "found look-around or a back-reference; write it without them"
    else:
        what = (
            f"found none, or one whose program takes more than {SIZES[-1]} bytes;"
            " correct it, or say maxLength in place of counting repetitions"
        )
    raise SchemaRefused(
        place, f"expected a pattern that can be matched in linear time: {pattern[:_QUOTED_MAX]!r}; {what}"
    )
