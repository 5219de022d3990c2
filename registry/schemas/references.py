"""Where the references of a schema lead: always to a part of the same document, never round in a circle.

The schema of a version is one document without `$id`. So a reference is `#`, `#/pointer` or `#anchor`, and
`$dynamicRef` can lead to one place only: that of `$ref`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from registry.schemas.parts import REFERENCES, Path, SchemaPart, SchemaRefused, pointer

PARTS_MAX = 10_000
"""How many parts a schema may unfold to. Each reference counts as all the parts that it leads to."""
HEIGHT_MAX = 64
"""How deep parts may be nested that apply to one value. Each takes stack frames of whoever checks values, beside those
for the depth of the values (contract.bounds)."""
UNEVALUATED_FACTOR = 3
"""How often `unevaluated…` has the parts beside it applied: again, to learn what they looked at (measured)."""
_NAME = re.compile(r"#[A-Za-z_][-A-Za-z0-9._]*")
_QUOTED_MAX = 80


def resolve(parts: dict[Path, SchemaPart]) -> frozenset[SchemaPart]:
    """Fills `references` of every part. Returns the parts that lead to themselves through values inside: those apply as
    deep as a value is. SchemaRefused: a reference leads nowhere, a circle stays at one value, too many parts."""
    anchors = _anchors(parts)
    for part in parts.values():
        for word in REFERENCES:
            if word in part.schema:
                part.references[word] = _target(parts, anchors, part, word)
    rank = {part: place for place, part in enumerate(_by_height(parts.values()))}
    groups = list(_groups(parts.values()))
    _check_size(parts[()], groups, rank)
    return frozenset(part for group in groups if _is_circle(group) for part in group)


def _anchors(parts: dict[Path, SchemaPart]) -> dict[str, SchemaPart]:
    anchors: dict[str, SchemaPart] = {}
    for part in parts.values():
        for word in ("$anchor", "$dynamicAnchor"):
            name = part.schema.get(word)
            if name is not None and anchors.setdefault(name, part) is not part:
                raise SchemaRefused(
                    (*part.path, word), f"expected a name of one place, found {name[:_QUOTED_MAX]!r} twice"
                )
    return anchors


def _target(parts: dict[Path, SchemaPart], anchors: dict[str, SchemaPart], part: SchemaPart, word: str) -> SchemaPart:
    reference: str = part.schema[word]
    place = (*part.path, word)
    found = repr(reference[:_QUOTED_MAX])
    if not reference.startswith("#"):
        raise SchemaRefused(place, f"expected references inside the schema ('#/…'), found {found}")
    if _NAME.fullmatch(reference):
        target = anchors.get(reference[1:])
    else:
        steps = unquote(reference[1:], errors="replace").split("/")
        path = tuple(step.replace("~1", "/").replace("~0", "~") for step in steps[1:])
        target = parts.get(path) if steps[0] == "" else None
    if target is None:
        raise SchemaRefused(
            place,
            f"expected a reference to a schema of this document, found {found}, which leads to none;"
            " put the schema under $defs",
        )
    return target


def _by_height(parts: Iterable[SchemaPart]) -> list[SchemaPart]:
    """All parts, each after the parts that it applies *here*."""
    height: dict[SchemaPart, int] = {}
    for root in parts:
        way: dict[SchemaPart, Iterator[SchemaPart]] = {}
        step: SchemaPart | None = root
        while step is not None:
            part = step
            if part not in height and part not in way:
                way[part] = part.here()
            elif part in way:
                circle = list(way)[list(way).index(part) :]
                names = " → ".join(pointer(each.path) for each in (*circle, part))
                raise SchemaRefused(
                    part.path,
                    f"expected references that end, found a circle that goes down no property or item: {names[:200]}",
                )
            step = None
            while way and step is None:
                last = next(reversed(way))
                step = next((target for target in way[last] if target not in height), None)
                if step is None:
                    del way[last]
                    height[last] = 1 + max((height[target] for target in last.here()), default=0)
                    if height[last] > HEIGHT_MAX:
                        raise SchemaRefused(
                            last.path,
                            f"expected schemas in each other for one value, over references, at most {HEIGHT_MAX} deep,"
                            " found more",
                        )
    return list(height)


def _groups(parts: Iterable[SchemaPart]) -> Iterator[list[SchemaPart]]:
    """The parts in groups, each after those that it leads to. Parts that lead to each other share a group (Tarjan)."""
    number: dict[SchemaPart, int] = {}
    lowest: dict[SchemaPart, int] = {}
    open_parts: dict[SchemaPart, None] = {}
    for root in parts:
        if root in number:
            continue
        way: list[tuple[SchemaPart, Iterator[SchemaPart]]] = []
        step: SchemaPart | None = root
        while step is not None or way:
            if step is not None:
                number[step] = lowest[step] = len(number)
                open_parts[step] = None
                way.append((step, iter((*step.here(), *step.below()))))
                step = None
            part, targets = way[-1]
            for target in targets:
                if target not in number:
                    step = target
                    break
                if target in open_parts:
                    lowest[part] = min(lowest[part], number[target])
            if step is not None:
                continue
            way.pop()
            if way:
                lowest[way[-1][0]] = min(lowest[way[-1][0]], lowest[part])
            if lowest[part] == number[part]:
                group: list[SchemaPart] = []
                while not group or group[-1] is not part:
                    group.append(open_parts.popitem()[0])
                yield group


def _is_circle(group: list[SchemaPart]) -> bool:
    return len(group) > 1 or group[0] in group[0].below()


def _check_size(root: SchemaPart, groups: list[list[SchemaPart]], rank: dict[SchemaPart, int]) -> None:
    """SchemaRefused when the schema unfolds to more than PARTS_MAX. A group that leads to itself counts once where a
    part outside leads to it: each part of the group with all that it applies to its value and to the values inside."""
    size: dict[SchemaPart, int] = {}
    for group in groups:
        inside = set(group)
        own: dict[SchemaPart, int] = {}
        for part in sorted(group, key=rank.__getitem__):
            here = sum(own[target] if target in inside else size[target] for target in part.here())
            below = sum(1 if target in inside else size[target] for target in part.below())
            own[part] = 1 + here * (UNEVALUATED_FACTOR if part.unevaluated() else 1) + below
        together = sum(
            1 if part.stands_for() in inside and part.stands_for() is not part else own[part] for part in group
        )
        for part in group:
            size[part] = together
    if size[root] > PARTS_MAX:
        raise SchemaRefused(
            (),
            f"expected a schema whose references unfold to at most {PARTS_MAX} parts, found {_said(size[root])};"
            " refer less often to what refers itself",
        )


def _said(number: int) -> str:
    return str(number) if number < 10**9 else "more than 10^9"
