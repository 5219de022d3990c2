"""`headrace audit import`: checks a trace, describes it, and writes it as the documented CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cli import output
from cli.errors import WrongUse
from cli.files import written
from cli.output import Format, Output
from whatif import traces
from whatif.simulation.arrivals import Arrivals


class TierContents(msgspec.Struct, frozen=True):
    jobs: int
    work_ms: int
    """The sum of the run times."""


class Contents(msgspec.Struct, frozen=True):
    """What a trace contains."""

    jobs: int
    span_ms: int
    """From the first arrival to the last."""
    work_ms: int
    tiers: dict[str, TierContents]
    tenants: int
    models: list[str]


def import_trace(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A public trace or the documented CSV; may be .gz.")],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="CSV", help="Write the trace there as the documented CSV.")
    ] = None,
    form: Output = Format.TABLE,
) -> None:
    """Read a trace of arrivals, say what it contains, and write the trace as a CSV for `audit what-if --trace`."""
    arrivals = read_trace(file)
    if to is not None:
        with written(to) as out:
            traces.write(arrivals, out)
    held = contents(arrivals)
    if form is Format.JSON:
        output.as_json(held)
    else:
        describe(held)
    if to is not None:
        output.err.print(f"{len(arrivals):,} jobs are in {to}")


def read_trace(file: Path) -> Arrivals:
    """The trace in this file. Says on standard error which of its columns nothing is made of. WrongUse."""
    try:
        arrivals, passed_over = traces.read_whole(file)
    except OSError as error:
        raise WrongUse(f"cannot read {file}: {error.strerror}") from None
    except traces.TraceUnreadable as error:
        raise WrongUse(str(error)) from None
    if passed_over:
        names = ", ".join(passed_over)
        words = f"nothing is made of the columns {names}: jobs that differ only there are taken to be alike"
        output.err.print(f"{file}: {words} (docs/traces.md)", soft_wrap=True)
    return arrivals


def contents(arrivals: Arrivals) -> Contents:
    """What a trace contains, by tier, and the sum of its run times."""
    work: dict[str, list[int]] = {}
    for job in arrivals:
        work.setdefault(job.tier, []).append(job.service_ms)
    return Contents(
        jobs=len(arrivals),
        span_ms=arrivals.span_ms,
        work_ms=arrivals.work_ms,
        tiers={tier: TierContents(len(times), sum(times)) for tier, times in sorted(work.items())},
        tenants=len(arrivals.tenants),
        models=sorted(arrivals.models.names),
    )


def describe(held: Contents) -> None:
    """For people."""
    rows = [*held.tiers.items(), ("all", TierContents(held.jobs, held.work_ms))]
    output.table(
        ["tier", "jobs", "share", "mean run time", "work"],
        [
            (
                tier,
                f"{its.jobs:,}",
                f"{100 * its.jobs / held.jobs:.1f} %",
                output.duration(its.work_ms // its.jobs),
                output.duration(its.work_ms),
            )
            for tier, its in rows
        ],
        empty="no job",
    )
    output.facts(
        [
            ("from first to last", output.duration(held.span_ms)),
            ("jobs a second", f"{1000 * held.jobs / held.span_ms:.2f}" if held.span_ms else None),
            ("slots that this keeps busy", f"{held.work_ms / held.span_ms:.1f}" if held.span_ms else None),
            ("tenants", held.tenants),
            ("models", ", ".join(held.models[:20])),
        ]
    )
