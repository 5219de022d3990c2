"""What senders do to good bytes: cut, flipped, put in, put twice, of another type, too large, too deep, not text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from contract import bounds

PIECES: tuple[bytes, ...] = (
    *(b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\", b"-", b" ", b"\n", b"\r\n", b"\0", b"\xff", b"\xc3\x28"),
    *(b"1e999", b"-1e999", b"9" * 5_000, b"NaN", b"Infinity", b"null", b"true", b"0x1", b"01"),
    *(b"\\ud83d", b"\\u0000", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"[" * 3_000, b'{"a":' * 300),
)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**53 - 1, 2**53, -(2**53), 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**30),
    *(10**4299, 0.5, -0.0, 1e300, 5e-324, float("inf"), float("nan")),
    *("", "\0", "a\0b", "\ud83d", "half \udce9 way", "x" * 999, "x" * 1_001, "x" * 70_000, "é" * 501, "\x1b[31m", ".."),
    *("../../etc/passwd", "sha256:" + "0" * 64, "9" * 5_000, "1.2.3", "\U0001f600", "‮", "٣"),
    *([], {}, [[]], [None], {"a": 1}, {"": ""}, {"\0": 1}, {"type": "Unreadable.v1", "reason": "x"}),
)


def mostly_good(chance: Random, good: bytes, *, json_too: bool = True) -> bytes:
    """The bytes as they are, half of the time; else changed by one or two of the senders' habits."""
    if chance.random() < 0.5:
        return good
    raw = good
    for _ in range(chance.choice((1, 1, 2))):
        raw = _changed_json(chance, raw) if json_too and chance.random() < 0.6 else changed(chance, raw)
    return raw


def changed(chance: Random, raw: bytes) -> bytes:
    """One fault in the bytes."""
    start = chance.randint(0, len(raw))
    stop = min(len(raw), start + chance.choice((0, 0, 1, 3, 40)))
    match chance.randrange(6):
        case 0:
            return raw[:start]
        case 1:
            return raw[:start] + raw[stop:]
        case 2:
            return raw[:start] + raw[start:stop] * 2 + raw[stop:]
        case 3 if raw:
            at = chance.randrange(len(raw))
            return raw[:at] + bytes((raw[at] ^ (1 << chance.randrange(8)),)) + raw[at + 1 :]
        case 4:
            return raw[:start] + chance.randbytes(chance.randint(1, 4)) + raw[stop:]
    return raw[:start] + chance.choice(PIECES) + raw[stop:]


def _changed_json(chance: Random, raw: bytes) -> bytes:
    """One fault in the values: JSON all the same, unless the value itself is none."""
    try:
        root = json.loads(raw)
    except (ValueError, RecursionError):
        return changed(chance, raw)
    places = list(_places(root))
    if not places:
        return json.dumps(chance.choice(ODD_VALUES)).encode()
    holder, key = chance.choice(places)
    match chance.randrange(8):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[chance.choice(("unknown", "", "\0", "type", "\ud83d"))] = holder[key]
        case 2 if isinstance(holder[key], list):
            holder[key] = holder[key] * chance.choice((2, 300))
        case 3:
            holder[key] = [holder[key]]
        case 4 if isinstance(holder, dict):
            return _written_twice(root, holder, key, chance.choice(ODD_VALUES))
        case 5:
            holder[key] = nested(chance.choice((2, bounds.DEPTH_MAX - 2, bounds.DEPTH_MAX + 2, 400)))
        case _:
            holder[key] = _like(chance, holder[key])
    return written(root)


def _like(chance: Random, before: Any) -> Any:
    """Another value; as often as not of the type that it was."""
    same = [odd for odd in ODD_VALUES if type(odd) is type(before)]
    return chance.choice(same if same and chance.random() < 0.5 else ODD_VALUES)


def _places(root: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    waiting = [root]
    while waiting:
        item = waiting.pop()
        keys: Sequence[Any] = (
            list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
        )
        found += [(item, key) for key in keys]
        waiting += [item[key] for key in keys]
    return found


def _written_twice(root: Any, holder: dict[str, Any], key: str, second: Any) -> bytes:
    """A field that stands twice, which json.dumps does not write."""
    mark = "a name that nothing has"
    holder[mark] = second
    return written(root).replace(json.dumps(mark).encode(), json.dumps(key).encode())


def nested(depth: int) -> Any:
    inner: Any = 1
    for _ in range(depth):
        inner = [inner]
    return inner


def written(value: Any) -> bytes:
    """JSON as a careless program writes it: half a surrogate pair stays half a pair, NaN is NaN, numbers are long."""
    return json.dumps(value, separators=(",", ":")).encode()


def several(chance: Random, most: int, make: Callable[[Random], Any]) -> list[Any]:
    return [make(chance) for _ in range(chance.randint(1, most))]
