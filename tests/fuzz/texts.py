"""Texts that people write, changed as people and editors change them, and files of them."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.mutations import changed

YAML_PIECES = (
    *(
        "&a ",
        "*a",
        "<<: *a",
        "&a [*a, *a]",
        "!!python/object:os.system ",
        "!!bool maybe",
        "!!int ''",
        "!!int +",
        "!!float ''",
    ),
    *(
        "!!float .",
        "!!int 0x",
        "!!int 1:x",
        "!!binary é",
        "!!timestamp x",
        "!!set {a}",
        "!!omap [a]",
        "!!null x",
        "!x y",
    ),
    *(
        "? [a]\n: b",
        "{a: b}",
        "[a]",
        "- a",
        "'",
        '"',
        "|",
        ">",
        "%YAML 9.9\n",
        "---\n",
        "...\n",
        "\t",
        "\u0085",
        "\ufeff",
    ),
    *(
        "1_000",
        "0o7",
        "1:30:00",
        ".inf",
        ".nan",
        "-0",
        "1e999",
        "9" * 5_000,
        "2001-01-01",
        "yes",
        "~",
        "null",
        "",
        "-1",
    ),
    *(
        "[" * 300,
        "{a: " * 300,
        "a" * 70_000,
        '"\\ud83d"',
        '"\\0"',
        '"a\\x00b"',
        "\U0001f600",
        "é" * 501,
        "#",
        ": ",
        "=",
        "@",
    ),
)


def text_changed(chance: Random, good: str, pieces: tuple[str, ...]) -> bytes:
    """The text as it is, 45 % of the time; else with words replaced, lines dropped, put twice or elsewhere, or bytes
    broken."""
    if chance.random() < 0.45:
        return good.encode()
    lines = good.split("\n")
    for _ in range(chance.choice((1, 1, 1, 2))):
        at = chance.randrange(len(lines))
        match chance.randrange(7):
            case 0:
                del lines[at]
                lines = lines or [""]
            case 1:
                lines.insert(chance.randrange(len(lines) + 1), lines[at])
            case 2:
                return changed(chance, "\n".join(lines).encode())
            case 3 | 4 if ":" in lines[at] or "=" in lines[at]:
                sign = ":" if ":" in lines[at] else "="
                name, _, _ = lines[at].partition(sign)
                lines[at] = f"{name}{sign} {chance.choice(pieces)}"
            case _:
                words = lines[at].split(" ")
                words[chance.randrange(len(words))] = chance.choice(pieces)
                lines[at] = " ".join(words)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


@contextmanager
def a_file(raw: bytes, name: str = "file") -> Any:
    with tempfile.TemporaryDirectory(prefix="headrace-door-") as folder:
        path = Path(folder) / name
        path.write_bytes(raw)
        yield path
