"""What all commands that compare simulated waits have: options, figures, and files with the figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.durations import duration_ms
from cli.errors import CommandFailed, WrongUse
from cli.files import written
from whatif.compare import Comparison, ComparisonColumn
from whatif.diff import write_diff
from whatif.plot import NoPlotter, draw
from whatif.simulation.nodes import Costs

SwitchCost = Annotated[str, typer.Option("--switch-cost", help="Time to load another version, like 22.7s.")]
OrderDelay = Annotated[str, typer.Option("--order", help="Time from a decision to its node, like 20ms.")]
FetchTime = Annotated[str, typer.Option("--fetch", help="Time to fetch the inputs of a job, like 800ms.")]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw the waits of both sides.")]
Jobs = Annotated[Path | None, typer.Option("--jobs", metavar="FILE.csv", help="The waits of each job.")]


def costs_of(switch_cost: str, order: str, fetch: str) -> Costs:
    """The costs that these options name. WrongUse."""
    return Costs(
        duration_ms("--switch-cost", switch_cost), duration_ms("--order", order), duration_ms("--fetch", fetch)
    )


def save(compared: Comparison, jobs: Path | None, plot: Path | None) -> None:
    """Writes what --jobs and --plot ask for: the waits of each job, the picture of all. WrongUse; CommandFailed."""
    if jobs is not None:
        with written(jobs) as out:
            write_diff(compared, out)
    if plot is not None:
        _draw(compared, plot)


def _draw(compared: Comparison, path: Path) -> None:
    try:
        draw(compared, path)
    except NoPlotter as error:
        raise CommandFailed(str(error)) from None
    except OSError as error:
        raise WrongUse(f"cannot write {path}: {error.strerror}") from None
    except ValueError as error:
        raise WrongUse(f"--plot: expected a file name like waits.png, found {path.name!r} ({error})") from None


def show_columns(columns: Sequence[ComparisonColumn]) -> None:
    """Shows waits and SLOs of each tier, side by side."""
    rows = []
    for tier in ["all", *columns[0].outcome.tiers]:
        for column in columns:
            waits = column.outcome.overall if tier == "all" else column.outcome.tiers[tier]
            rows.append(
                (
                    tier,
                    column.name,
                    f"{100 * waits.attainment:.1f} %",
                    f"{waits.worst_fraction:.2f}",
                    output.duration(round(waits.mean_ms)),
                    output.duration(waits.p50_ms),
                    output.duration(waits.p99_ms),
                    waits.never_started or "",
                )
            )
    headings = ["tier", "", "within SLO", "worst wait ÷ SLO", "mean wait", "p50", "p99", "never started"]
    output.table(headings, rows, empty="no job")


def show_not_modelled(sentences: Sequence[str]) -> None:
    """Says what the figures above leave out."""
    output.out.print("\nNot modelled:")
    for sentence in sentences:
        output.out.print(f"- {sentence}", soft_wrap=True)
