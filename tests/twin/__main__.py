"""`python -m tests.twin [--seconds S] SEEDS | FIRST:LAST`: the whole path in memory, with troubles by seed.

Each seed is an installation of its own, verified at its end. A seed that fails is named, and repeats itself.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback

import structlog

from tests.twin.whole_path import run_seed


def main() -> int:
    """Exit status: 0, or 1 when a seed failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.twin", description=__doc__)
    parser.add_argument("seeds", help="how many, or FIRST:LAST")
    parser.add_argument("--seconds", type=float, default=60.0, help="of troubles, in simulated time (%(default)s)")
    parser.add_argument("--log", action="store_true", help="show what the programs log")
    options = parser.parse_args()
    if not options.log:
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    first, _, last = options.seeds.rpartition(":")
    began_s, failed = time.monotonic(), []
    seeds = range(int(first or 0), int(last))
    for seed in seeds:
        try:
            run_seed(seed, options.seconds)
        except Exception:
            failed.append(seed)
            print(f"seed {seed} failed", traceback.format_exc(limit=-4), sep="\n", flush=True)
    print(f"{len(seeds)} seeds in {time.monotonic() - began_s:.0f} s, {len(failed)} failed {failed or ''}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
