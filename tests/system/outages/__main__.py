"""The command: runs, prints memory and findings, and says whether all held."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import msgspec

from contract.durations import UNITS_MS
from tests.system.outages import __doc__ as about
from tests.system.outages.findings import OUTAGES, OutageFindings
from tests.system.outages.run import run


def main() -> int:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for server in OUTAGES:
        parser.add_argument(f"--{server}", type=_seconds, metavar="TIME", help="how long it is away, as 90s or 10m")
    parser.add_argument("--every", type=_seconds, default=30.0, metavar="TIME", help="between two samples of memory")
    given = vars(parser.parse_args())
    wanted: dict[str, float] = {name: given[name.replace("-", "_")] for name in OUTAGES}
    found: list[OutageFindings] = []
    for server, lasts_s in wanted.items():
        if lasts_s:
            print(f"{server} is away for {lasts_s:g} s", flush=True)
            with tempfile.TemporaryDirectory(prefix="headrace-outage-") as folder:
                found.append(run(Path(folder), server, lasts_s, given["every"]))
            print(msgspec.json.format(msgspec.json.encode(found[-1]._asdict())).decode(), flush=True)
    if not found:
        parser.error(f"expected at least one of {', '.join('--' + server for server in OUTAGES)}")
    for one in found:
        print(one.line())
        for fault in one.faults():
            print(f"  {fault}")
    return 1 if any(one.faults() for one in found) else 0


def _seconds(words: str) -> float:
    number, unit = words[:-1], words[-1]
    return float(number) * UNITS_MS[unit] / 1000


if __name__ == "__main__":
    sys.exit(main())
