"""How many of each package's statements the measured tests ran: printed by `make test`, from coverage's data."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import coverage

ROOT = Path(__file__).parents[1]


def main() -> None:
    measured = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"))
    measured.combine()
    statements: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    for file in measured.get_data().measured_files():
        package = Path(file).relative_to(ROOT).parts[0]
        _, found, _, not_run, _ = measured.analysis2(file)
        statements[package] += len(found)
        missing[package] += len(not_run)
    print(f"{'package':<12} {'statements':>10} {'run':>6}")
    for package, number in sorted(statements.items()):
        print(f"{package:<12} {number:>10} {_percent(number, missing[package]):>6}")
    print(f"{'all':<12} {statements.total():>10} {_percent(statements.total(), missing.total()):>6}")


def _percent(statements: int, missing: int) -> str:
    return f"{100 * (statements - missing) / statements:.1f}%"


if __name__ == "__main__":
    main()
