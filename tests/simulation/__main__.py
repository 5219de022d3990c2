"""`python -m tests.simulation SEEDS` runs seeds 0 to SEEDS - 1; `--seed N` runs one and tells more. `python -m
tests.simulation cordon WORLDS` asks what one broken node of five, or one broken version, costs the jobs."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation import broken_worlds
from tests.simulation.run import simulate


def main() -> int:
    return cordon(sys.argv[2:]) if sys.argv[1:2] == ["cordon"] else seeds_of()


def cordon(said: list[str]) -> int:
    arguments = argparse.ArgumentParser(prog="python -m tests.simulation cordon", description=broken_worlds.__doc__)
    arguments.add_argument("worlds", nargs="?", type=int, default=1_000, help="how many worlds of each kind")
    worlds, began = arguments.parse_args(said).worlds, time.process_time()
    wrong = broken_worlds.faults(worlds)
    print("\n".join(wrong) or f"{worlds} worlds: no job was lost to a broken node, no node was cordoned for a version")
    print(f"{time.process_time() - began:.1f} s of this process")
    return 1 if wrong else 0


def seeds_of() -> int:
    arguments = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    arguments.add_argument("seeds", nargs="?", type=int, default=200, help="how many seeds to run")
    arguments.add_argument("--start", type=int, default=0, help="the first seed")
    arguments.add_argument("--seed", type=int, help="run this one seed")
    chosen = arguments.parse_args()
    seeds = range(chosen.start, chosen.start + chosen.seeds) if chosen.seed is None else (chosen.seed,)
    began, failed = time.process_time(), 0
    totals: dict[str, int] = {}
    for seed in seeds:
        outcome = simulate(seed)
        for name, number in outcome.numbers.items():
            totals[name] = totals.get(name, 0) + number
        if outcome.failure:
            failed += 1
            print(outcome.failure)
    took_s = time.process_time() - began
    said = ", ".join(f"{number:,} {name}" for name, number in totals.items())
    print(
        f"{len(seeds)} seeds, {failed} failed, {took_s:.1f} s of this process"
        f" ({1000 * took_s / len(seeds):.0f} ms a seed): {said}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
