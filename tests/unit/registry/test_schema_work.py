"""How long the worst schema that publish takes can keep a door, with the largest inputs that are sent to it.

Each case is what one keyword is worst at, found by trying the engine with everything we could think of. The inputs are
the largest that the validator still checks, within a payload: what is larger it refuses unchecked, and in time.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from registry.schemas import SchemaRefused, Validator
from registry.schemas.weight import WORK_MAX

PAYLOADS_BYTES = (256 * 1024, 2 * 1024**2 - 64 * 1024)
"""The default `payload_max` and the largest."""
LIMIT_MS = 50
UNIT_MS = 8
"""What `unit` takes of an idle core of the machine on which 50 ms were asked for."""

SUBNORMAL = 2.2250738585072014e-308
Many = Callable[[int], Any]


def ints(n: int) -> Any:
    return [7] * n


def halves(n: int) -> Any:
    return [0.5] * n


def deep(n: int) -> Any:
    value: Any = 0
    for _ in range(n % 60):
        value = {"n": value}
    return value


def of(value: Any) -> Many:
    return lambda n: [value] * n


def bits(n: int) -> str:
    """Text in which every 20 characters are others."""
    state, found = 1, []
    for _ in range(n):
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        found.append("ab"[state >> 16 & 1])
    return "".join(found)


def items(**keywords: Any) -> dict[str, Any]:
    return {"items": keywords}


def each(n: int, **keywords: Any) -> dict[str, Any]:
    return {"items": {"allOf": [keywords] * n}}


def again(times: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"properties": {"a": {}}}
    for _ in range(times):
        schema = {"unevaluatedProperties": {}, "allOf": [schema]}
    return schema


NODE = {"$ref": "#/$defs/node"}
WORST: dict[str, tuple[dict[str, Any], Many]] = {
    "nothing asked": ({}, ints),
    "nothing asked of objects": ({}, of({})),
    "whole numbers": (items(type="integer", minimum=0, maximum=9), ints),
    "many limits": (each(20, minimum=-1), halves),
    "fractions": (items(minimum=0.1, maximum=0.9), halves),
    "fractions of many digits": (items(minimum=5e-324), of(SUBNORMAL)),
    "whole numbers of many digits": (items(minimum=0.5), of(2**64 - 1)),
    "types of whole numbers of many digits": (each(20, type=["integer", "null"]), of(2**64 - 1)),
    "multiples": (items(multipleOf=0.01), of(1.55)),
    "multiples of many digits": (items(multipleOf=5e-324), of(SUBNORMAL)),
    "lists of numbers": (items(enum=list(range(1000))), of(0.5)),
    "lists of numbers and words": (items(enum=[*range(1000), *map(str, range(1000)), None]), ints),
    "lists of fractions": (items(enum=[i + 0.5 for i in range(200)]), of(199.5)),
    "lists of whole numbers of many digits": (items(enum=[2**63 + i for i in range(10)]), of(2**63 + 9)),
    "lists of lists": (items(enum=[[i] for i in range(200)]), of([199])),
    "lists of lists of many digits": (items(enum=[[i * 5e-324] for i in range(1, 20)]), of([SUBNORMAL])),
    "lists of long lists": (items(enum=[[7] * 100 + [i] for i in range(50)]), of([7] * 101)),
    "lists of long lists of halves": (items(enum=[[0.5] * 100 + [i + 0.5] for i in range(50)]), of([0.5] * 101)),
    "lists of objects": (items(enum=[{"a": 0.5, "b": [i]} for i in range(50)]), of({"a": 0.5, "b": [51]})),
    "one number of many digits": (items(const=5e-324), of(SUBNORMAL)),
    "many forms": ({"items": {"anyOf": [{"const": [i]} for i in range(100)]}}, of([100])),
    "exactly one of many forms": ({"items": {"oneOf": [{"required": [f"k{i}"]} for i in range(100)]}}, of({"k": 0})),
    "forms at the root, each wrong at every item": (
        {"anyOf": [{"items": {"type": "string", "minLength": i}} for i in range(20)]},
        ints,
    ),
    "not this": ({"not": items(type="integer")}, ints),
    "items that differ, objects": ({"uniqueItems": True}, lambda n: [{"k": i} for i in range(n)]),
    "items that differ, many digits": ({"uniqueItems": True}, lambda n: [2**63 + i for i in range(n)]),
    "items that differ, negative": ({"uniqueItems": True}, lambda n: [-(2**63) + i for i in range(n)]),
    "few items that differ": (items(uniqueItems=True), lambda n: [[i + j / 2 for j in range(15)] for i in range(n)]),
    "few items that differ, many digits": (
        items(uniqueItems=True),
        lambda n: [[j * 1.1e-308 for j in range(15)] for _ in range(n)],
    ),
    "contained": ({"contains": {"enum": [0.1, 0.2, 0.3]}}, halves),
    "texts": (each(30, minLength=0, maxLength=10**6), of("")),
    "a long text": ({"minLength": 1, "maxLength": 10**9}, lambda n: "é" * n),
    "a small pattern": ({"pattern": r"^(\w+\s?)*$"}, lambda n: "a" * n + "!"),
    "a pattern with too many states": ({"pattern": "[ab]*a[ab]{15}c"}, bits),
    "a pattern with a hundred places at once": ({"pattern": "(a|b)*a(a|b){100}c"}, bits),
    "the largest pattern": ({"pattern": "(a{45}){45}c"}, lambda n: "a" * n),
    "many patterns of names": (
        {"patternProperties": {f"^k{i}": {} for i in range(100)}},
        lambda n: {f"k{i}": 0 for i in range(n)},
    ),
    "patterns of many texts": (items(pattern="[ab]*a[ab]{20}c"), lambda n: [bits(30)] * n),
    "names": (each(20, propertyNames={"maxLength": 9}), of({"a": 0, "b": 0})),
    "required names": ({"required": [f"k{i}" for i in range(1000)]}, lambda n: {f"k{i}": 0 for i in range(n)}),
    "names that need others": (items(dependentRequired={f"k{i}": ["a"] for i in range(100)}), of({})),
    "properties": (items(properties={f"k{i}": {"type": "integer"} for i in range(300)}), of({"k1": 0})),
    "what nobody looked at": (
        {"anyOf": [{"patternProperties": {f"^k{i}$": {}}} for i in range(30)], "unevaluatedProperties": {}},
        lambda n: {f"k{i}": 0 for i in range(n)},
    ),
    "what nobody looked at, again and again": (items(**again(7)), of({"a": 0})),
    "items that nobody looked at": (
        {"allOf": [{"contains": {"minimum": i}, "minContains": 0} for i in range(30)], "unevaluatedItems": {}},
        ints,
    ),
    "a tree": ({**NODE, "$defs": {"node": {"properties": {"n": NODE}}}}, deep),
    "a tree of two forms": (
        {**NODE, "$defs": {"node": {"anyOf": [{"properties": {"n": NODE}, "required": [name]} for name in "ab"]}}},
        deep,
    ),
    "a tree that is looked at twice": ({**NODE, "$defs": {"node": {"allOf": [{"properties": {"n": NODE}}] * 2}}}, deep),
    "trees that lead to each other": (
        {
            "$ref": "#/$defs/a",
            "$defs": {
                own: {"allOf": [{"properties": {"n": {"$ref": f"#/$defs/{other}"}}} for other in "abcde"]}
                for own in "abcde"
            },
        },
        deep,
    ),
    "ten thousand parts": (each(4_900, minimum=0), ints),
    "ten thousand parts of a text": ({"allOf": [{"maxLength": 10**6}] * 9_900}, lambda n: "a" * n),
}


INNOCENT = ("whole numbers", "lists of numbers and words", "a small pattern", "properties", "a tree", "not this")
"""What people write: a default payload full of it is checked, not refused."""


def unit() -> None:
    """Work that takes as long as the machine is slow."""
    found = 0
    for number in range(200_000):
        found ^= number * number


def ms(call: Callable[[], object], enough_ms: float = 0, tries: int = 5) -> float:
    """Of this thread's own time, the best of some tries: others at work on the machine count little. A measurement of
    coverage does not: it is off meanwhile."""
    best = float("inf")
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        for _ in range(tries):
            began = time.thread_time()
            call()
            best = min(best, (time.thread_time() - began) * 1000)
            if best < enough_ms:
                break
    finally:
        sys.settrace(tracer)
    return best


def filling(many: Many, payload_bytes: int) -> Any:
    """As many of these as a payload holds."""
    some, more = (len(json.dumps(many(n), separators=(",", ":"))) for n in (100, 200))
    return many(100 if some == more else 100 + (payload_bytes - some) * 100 // (more - some))


def as_much_as_is_checked(many: Many, validator: Validator) -> Any:
    """Within a few percent."""
    least = 1
    while validator.work(many(least * 2)) <= WORK_MAX:
        least *= 2
    step = least // 2
    while step > least // 16:
        if validator.work(many(least + step)) <= WORK_MAX:
            least += step
        step //= 2
    return many(least)


def test_the_worst_schemas_are_checked_in_time() -> None:
    allowed_ms = LIMIT_MS * max(1.0, ms(unit) / UNIT_MS)
    took: dict[str, float] = {}
    checked: set[str] = set()
    for name, (schema, many) in WORST.items():
        validator = Validator(schema)
        for payload_bytes in PAYLOADS_BYTES:
            value = filling(many, payload_bytes)
            took[f"{name}, {payload_bytes} bytes"] = ms(partial(validator.fault, value), allowed_ms)
            if validator.work(value) <= WORK_MAX:
                checked.add(f"{name}, {payload_bytes} bytes")
        if f"{name}, {PAYLOADS_BYTES[1]} bytes" not in checked:
            value = as_much_as_is_checked(many, validator)
            took[f"{name}, as much as is checked"] = ms(partial(validator.fault, value), allowed_ms)
    slow = {name: round(of_it, 1) for name, of_it in took.items() if of_it > allowed_ms}
    assert not slow, f"{slow}; allowed {allowed_ms:.0f} ms"
    assert checked >= {f"{name}, {PAYLOADS_BYTES[0]} bytes" for name in INNOCENT}


def test_no_schema_is_taken_that_can_check_next_to_nothing() -> None:
    with pytest.raises(SchemaRefused, match="50 values"):
        Validator(items(enum=[i + 0.5 for i in range(5_000)]))
