"""The command: runs, prints what was done as a table, and says whether all held."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import msgspec

from tests.system.faults import __doc__ as about
from tests.system.faults.report import line, table
from tests.system.faults.run import FAULTS, run


def main() -> None:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--kills", type=int, default=15)
    parser.add_argument("--faults", type=int, default=FAULTS, help="that last; by default each kind once")
    parser.add_argument("-o", choices=("table", "json"), default="table", dest="form")
    parser.add_argument("--data", type=Path, metavar="DIR", help="a new directory, which is kept (default: none is)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-faults-") as folder:
        report = run(given.data or Path(folder), given.seed, given.jobs, given.kills, given.faults)
    if given.form == "json":
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
        return
    print(table(report.done))
    print(line(report))


if __name__ == "__main__":
    main()
