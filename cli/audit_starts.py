"""`headrace audit slo` and `headrace audit forecasts`: what was promised and forecast, and what came of it."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from audit.as_of import MomentInvalid, moment
from audit.forecasts import coverage
from audit.reader import ExportUnreadable, ledger_of_file, ledger_of_partition
from audit.slo import kept
from audit.starts import Starts, starts
from cli import output
from cli.connection import DATA_DEFAULT, Data, settings
from cli.errors import CommandFailed, WrongUse
from cli.output import Format, Output
from cli.pasts import pools_of
from scheduling.chain import Damaged


class By(StrEnum):
    TIER = "tier"
    TENANT = "tenant"


Since = Annotated[str, typer.Option("--since", help="Jobs submitted from then on: 2026-11-24T14:30:00Z, '2h ago'.")]
Pool = Annotated[str, typer.Option("--pool", help="Only this pool.")]
File = Annotated[Path | None, typer.Option("--file", help="A ledger that `audit export` wrote; needs --pool.")]


def show_slo(
    by: Annotated[By, typer.Option("--by", help="A row for each of these.")] = By.TIER,
    since: Since = "",
    pool: Pool = "",
    file: File = None,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Who started within the SLO in force when the job was accepted, recomputed from the ledger."""
    since_ms, found = _read(since, pool, file, data)
    figures = {each.pool: kept(each, by, since_ms) for each in found}
    if form is Format.JSON:
        return output.as_json(
            {
                name: [
                    {
                        **msgspec.to_builtins(entry),
                        "attainment_permille": entry.attainment_permille,
                        "worst_permille": entry.worst_permille,
                    }
                    for entry in entries
                ]
                for name, entries in figures.items()
            }
        )
    for name, entries in figures.items():
        output.out.print(f"pool {name}", style="bold")
        output.table(
            [str(by), "jobs", "within SLO", "kept", "missed", "undecided", "never started", "worst wait ÷ SLO", "of"],
            [
                (
                    entry.by or "all",
                    f"{entry.jobs:,}",
                    _percent(entry.attainment_permille),
                    f"{entry.kept:,}",
                    f"{entry.missed:,}",
                    f"{entry.undecided:,}",
                    f"{entry.ended:,}",
                    f"{entry.worst_permille / 1000:.3f}",
                    entry.worst_job,
                )
                for entry in entries
            ],
            empty="no job was accepted",
        )


def show_forecasts(
    since: Since = "",
    pool: Pool = "",
    file: File = None,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Of the forecasts of starts recorded at acceptance, the share that came true, by tier."""
    since_ms, found = _read(since, pool, file, data)
    figures = {each.pool: coverage(each, since_ms) for each in found}
    if form is Format.JSON:
        return output.as_json(figures)
    for name, scores in figures.items():
        output.out.print(f"pool {name}", style="bold")
        output.table(
            ["tier", "scored", "within p50", "within p90", "undecided", "no forecast", "p90 ÷ wait, median"],
            [
                (
                    score.by or "all",
                    f"{score.scored:,}",
                    _percent(score.within_p50 * 1000 // score.scored if score.scored else None),
                    _percent(score.within_p90 * 1000 // score.scored if score.scored else None),
                    f"{score.undecided:,}",
                    f"{score.without:,}",
                    None if score.sharpness_permille is None else f"{score.sharpness_permille / 1000:.2f}",
                )
                for score in scores
            ],
            empty="no job was accepted",
        )


def _percent(permille: int | None) -> Any:
    return None if permille is None else f"{permille / 10:.1f} %"


def _read(since: str, pool: str, file: Path | None, data: Path) -> tuple[int, list[Starts]]:
    try:
        since_ms = moment(since, round(time.time() * 1000)) if since else 0
        if file is not None:
            if not pool:
                raise WrongUse("--file needs --pool NAME: the pool whose ledger it is")
            return since_ms, [starts(ledger_of_file(file), pool)]
        here = settings(data)
        return since_ms, [
            starts(ledger_of_partition(here.kafka, partition)[0], name)
            for name, partition in pools_of(here, pool).items()
        ]
    except (MomentInvalid, ExportUnreadable, FileNotFoundError) as error:
        raise WrongUse(str(error)) from None
    except Damaged as error:
        raise CommandFailed(str(error)) from None
