"""`python -m bench`: runs every arm in turn, several rounds, and writes the report. Progress goes to standard error."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TypeVar

from bench import peer_arms, recovery, report
from bench.headrace_arm import HeadraceArm, core, whole
from bench.peer_arms import PeerArm

T = TypeVar("T")

SECONDS_SLOW, SECONDS_FAST = 8.0, 5.0
DRAIN_JOBS = 10_000
QUEUED = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-recovery", action="store_true", help="only the no-op arms")
    given = parser.parse_args()
    peer_arms.install()
    runners: list[HeadraceArm | PeerArm] = [
        HeadraceArm("headrace", whole),
        HeadraceArm("headrace core", core),
        *map(PeerArm, peer_arms.WORKERS),
    ]
    figures = report.Figures([report.Arm(runner.name) for runner in runners])
    for number in range(1, given.rounds + 1):
        for runner, arm in zip(runners, figures.arms, strict=True):
            arm.slow.append(say(number, runner.name, runner.latency(50, SECONDS_SLOW)))
            arm.fast.append(say(number, runner.name, runner.latency(500, SECONDS_FAST)))
            arm.drains.append(say(number, runner.name, runner.drain(DRAIN_JOBS)))
        if not given.without_recovery:
            recovered, audited = recovery.measure_recovery(QUEUED)
            figures.recoveries.append(say(number, "recovery", recovered))
            figures.audits.append(say(number, "audit", audited))
    decide = [sys.executable, str(Path(__file__).with_name("decide.py"))]
    figures.decide = subprocess.run(decide, capture_output=True, text=True, check=True).stdout
    report.write(figures)
    print(report.page(figures))


def say(number: int, name: str, figure: T) -> T:
    print(f"round {number}  {name}: {figure}", file=sys.stderr, flush=True)
    return figure


if __name__ == "__main__":
    main()
