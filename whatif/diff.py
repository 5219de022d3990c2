"""The columns of a comparison, job by job, as a CSV."""

from __future__ import annotations

import csv
from typing import TextIO

from whatif.compare import Comparison


def write_diff(comparison: Comparison, file: TextIO) -> None:
    """Writes one row for each job, in the order of arrival: the job's wait in each column, empty when it never started.
    With several columns a last field says how much longer the job waits in the last column than in the one before."""
    names = list(comparison.starts_ms)
    arrivals = comparison.arrivals
    writer = csv.writer(file, lineterminator="\n")
    waits = [f"wait_ms {name}" for name in names]
    more = ["longer_ms"] if len(names) > 1 else []
    writer.writerow(["job", "arrival_ms", "tier", "tenant", "model", "run_ms", *waits, *more])
    columns = [comparison.starts_ms[name] for name in names]
    for number, job in enumerate(arrivals):
        waited = [column[number] - job.submitted_ms if column[number] >= 0 else None for column in columns]
        row = [arrivals.jobs[number] if arrivals.jobs else number, job.submitted_ms, job.tier, job.tenant, job.model]
        row += [job.service_ms, *("" if wait_ms is None else wait_ms for wait_ms in waited)]
        if more:
            before, after = waited[-2:]
            row.append("" if before is None or after is None else after - before)
        writer.writerow(row)
