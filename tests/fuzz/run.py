"""`make fuzz`: every door, 20,000 examples or two minutes each, whichever is first; at least a third of them taken.

What goes wrong is written to build/fuzz/<door>.txt, one example a line. When it is mended, the line moves to the file
of that name in tests/fuzz/found, and every run offers it from then on."""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random
from typing import NamedTuple

import structlog

from tests.fuzz.conftest import drop
from tests.fuzz.door import Door, file_of, found, offer
from tests.fuzz.doors import DOORS

FAULTS = Path("build/fuzz")
ADDRESS_SPACE_BYTES_MAX = 8 * 1024**3
"""An example that asks for more ends in MemoryError, not in a machine that swaps."""
FAULTS_KEPT = 20


class Fuzzed(NamedTuple):
    door: str
    outcomes: Counter[str]
    seconds: float
    faults: list[str]
    """The first of each kind, in a line."""

    @property
    def is_clean(self) -> bool:
        return not self.faults and 3 * self.outcomes["taken"] >= self.outcomes.total()


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    arguments.add_argument("--examples", type=int, default=20_000)
    arguments.add_argument("--seconds", type=float, default=120.0)
    arguments.add_argument("--seed", type=int, default=0, help="another number, other examples")
    arguments.add_argument("door", nargs="*", help="only doors whose names have one of these words")
    given = arguments.parse_args()
    names = [door.name for door in DOORS if not given.door or any(word in door.name for word in given.door)]
    print(f"{'door':34} {'examples':>9} {'taken':>6} {'s':>6}  faults", flush=True)
    clean = True
    with ProcessPoolExecutor(min(os.cpu_count() or 1, len(names)), max_tasks_per_child=1) as processes:
        jobs = [processes.submit(fuzz, name, given.examples, given.seconds, given.seed) for name in names]
        for job in jobs:
            one = job.result()
            clean = clean and one.is_clean
            print(line_of(one), flush=True)
    return 0 if clean else 1


def line_of(one: Fuzzed) -> str:
    offered = max(1, one.outcomes.total())
    share = f"{100 * one.outcomes['taken'] // offered} %"
    said = "; ".join(one.faults) or ("" if one.is_clean else "less than a third was taken")
    return f"{one.door:34} {one.outcomes.total():>9,} {share:>6} {one.seconds:>6.1f}  {said}"


def fuzz(name: str, examples: int, seconds: float, seed: int) -> Fuzzed:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES_MAX, ADDRESS_SPACE_BYTES_MAX))
    structlog.configure(processors=[drop])
    (door,) = (each for each in DOORS if each.name == name)
    outcomes: Counter[str] = Counter()
    kinds: dict[str, str] = {}
    began_s = time.monotonic()
    for example in found(door):
        try_one(door, example, outcomes, kinds)
    for number in range(examples):
        if time.monotonic() - began_s > seconds:
            break
        try_one(door, door.make(Random(f"{seed}.{number}")), outcomes, kinds)
    if kinds:
        FAULTS.mkdir(parents=True, exist_ok=True)
        (FAULTS / file_of(door)).write_text("".join(f"# {kind}\n{line}\n" for kind, line in kinds.items()))
    return Fuzzed(name, outcomes, time.monotonic() - began_s, list(kinds))


def try_one(door: Door, example: object, outcomes: Counter[str], kinds: dict[str, str]) -> None:
    try:
        outcomes[offer(door, example)] += 1
    except Exception as fault:  # whatever it is, it is what this program looks for
        outcomes["fault"] += 1
        kind = f"{type(fault).__name__} {' '.join(str(fault).split())[:100]}".strip()
        if len(kinds) < FAULTS_KEPT:
            kinds.setdefault(kind, repr(example))
