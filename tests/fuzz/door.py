"""A door under test, and one example offered to it: taken and followed through every part behind, or refused."""

from __future__ import annotations

import ast
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

FOUND = Path(__file__).parent / "found"
"""Examples that once went wrong, a file for each door, one a line. `make fuzz` writes what it finds to build/fuzz; what
is mended moves here, and is offered by every run."""
CPU_S_MAX = 3.0
"""The most CPU time of this thread for one example. A good example takes milliseconds; waiting for a busy machine does
not count."""
MEMORY_KIB_MAX = 512 * 1024
"""How much the process may grow by one example."""


class Door(NamedTuple):
    name: str
    make: Callable[[Random], Any]
    """An example: a literal, so that it can be written to a file and read again."""
    feed: Callable[[Any], bool]
    """Offers the example, and follows what is taken through every part behind. True: it was taken. False: it was passed
    over by a rule. Raises one of `refusals` when the door refuses the example; raises nothing else."""
    decoders: tuple[str, ...] = ()
    """The parts of the product that this door offers examples to, as `module.name`."""
    refusals: tuple[type[Exception], ...] = ()
    words_max: int = 2_000
    """The most characters of a refusal."""


class Fault(AssertionError):
    """A door did what no door may do."""


def offer(door: Door, example: Any) -> str:
    """`taken` or `refused`. Fault when the door did anything else."""
    began_s, began_kib = time.thread_time(), _grown_kib()
    try:
        outcome = "taken" if door.feed(example) else "refused"
    except door.refusals as refusal:
        _check_words(door, str(refusal))
        outcome = "refused"
    spent_s, grown_kib = time.thread_time() - began_s, _grown_kib() - began_kib
    if spent_s > CPU_S_MAX:
        raise Fault(f"{door.name}: expected an answer within {CPU_S_MAX} s of CPU, found {spent_s:.1f} s")
    if grown_kib > MEMORY_KIB_MAX:
        raise Fault(f"{door.name}: expected to take at most {MEMORY_KIB_MAX} KiB, found {grown_kib}")
    return outcome


def found(door: Door) -> list[Any]:
    """The examples that once went wrong at this door."""
    path = FOUND / file_of(door)
    if not path.exists():
        return []
    lines = path.read_text().splitlines()
    return [ast.literal_eval(line) for line in lines if line and not line.startswith("#")]


def file_of(door: Door) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", door.name.lower()).strip("-") + ".txt"


def _check_words(door: Door, words: str) -> None:
    if not 0 < len(words) <= door.words_max:
        raise Fault(f"{door.name}: expected a sentence of at most {door.words_max} characters, found {words[:500]!r}")
    if not words.replace("\n", "").isprintable():
        raise Fault(f"{door.name}: expected a refusal in printable characters, found {words[:500]!r}")


def _grown_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
