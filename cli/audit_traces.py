"""`headrace audit import`: a trace checked, described, and written as the documented CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audit import traces
from audit.arrivals import Arrivals
from cli import output
from cli.errors import WrongUse
from cli.files import written


def import_trace(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A public trace or the documented CSV; may be .gz.")],
    to: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="OUT", help="Write it there as the documented CSV.")
    ] = None,
) -> None:
    """Read a trace of arrivals, say what it holds, and write it as a CSV for `audit what-if --trace`."""
    arrivals = read_trace(file)
    if to is not None:
        with written(to) as out:
            traces.write(arrivals, out)
    describe(arrivals)
    if to is not None:
        output.err.print(f"{len(arrivals):,} jobs are in {to}", markup=False)


def read_trace(file: Path) -> Arrivals:
    try:
        return traces.read(file)
    except OSError as error:
        raise WrongUse(f"cannot read {file}: {error.strerror}") from None
    except traces.TraceUnreadable as error:
        raise WrongUse(str(error)) from None


def describe(arrivals: Arrivals) -> None:
    """What a trace holds, by tier, and how much work that is."""
    work: dict[str, list[int]] = {}
    for job in arrivals:
        work.setdefault(job.tier, []).append(job.service_ms)
    total = len(arrivals)
    rows = [(tier, times) for tier, times in sorted(work.items())]
    rows.append(("all", list(arrivals.service_ms)))
    output.table(
        ["tier", "jobs", "share", "mean run time", "work"],
        [
            (
                tier,
                f"{len(times):,}",
                f"{100 * len(times) / total:.1f} %",
                output.duration(sum(times) // len(times)),
                output.duration(sum(times)),
            )
            for tier, times in rows
        ],
        empty="no job",
    )
    span_ms = arrivals.span_ms
    output.facts(
        [
            ("from first to last", output.duration(span_ms)),
            ("jobs a second", f"{1000 * total / span_ms:.2f}" if span_ms else None),
            ("slots that this keeps busy", f"{arrivals.work_ms / span_ms:.1f}" if span_ms else None),
            ("tenants", len(arrivals.tenants)),
            ("models", ", ".join(sorted(arrivals.models.names)[:20])),
        ]
    )
