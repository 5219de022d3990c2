"""`headrace audit slo` and `headrace audit forecasts`: promises and forecasts, and how jobs really started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from audit.waits.forecasts import Coverage, coverage
from audit.waits.slo import Attainment, attainment
from audit.waits.starts import Starts, starts
from cli import output
from cli.connection import DATA_DEFAULT, Data
from cli.ledgers import LedgerFile, PoolOption, pasts
from cli.moments import moment_ms
from cli.output import Format, Output


class GroupBy(StrEnum):
    TIER = "tier"
    TENANT = "tenant"


Since = Annotated[str, typer.Option("--since", help="Jobs submitted from then on: 2026-11-24T14:30:00Z, '2h ago'.")]


def show_slo(
    by: Annotated[GroupBy, typer.Option("--by", help="A row for each of these.")] = GroupBy.TIER,
    since: Since = "",
    pool: PoolOption = "",
    file: LedgerFile = None,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Who started within the SLO in force when the job was accepted, recomputed from the ledger.

    Exit 1 when the ledger is damaged."""
    since_ms, found = _read(since, pool, file, data)
    figures = {each.pool: attainment(each, by, since_ms) for each in found}
    if form is Format.JSON:
        _as_json(found, {name: [_document(entry) for entry in entries] for name, entries in figures.items()})
    else:
        for name, entries in figures.items():
            _show_kept(name, entries, by)
    _say_damage(found)


def _document(entry: Attainment) -> dict[str, Any]:
    computed = {"attainment_permille": entry.attainment_permille, "worst_permille": entry.worst_permille}
    return {**msgspec.to_builtins(entry), **computed}


def _show_kept(pool: str, entries: list[Attainment], by: GroupBy) -> None:
    output.out.print(f"pool {pool}", style="bold")
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
    pool: PoolOption = "",
    file: LedgerFile = None,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Of the forecasts of starts recorded at acceptance, the share that came true, by tier.

    Exit 1 when the ledger is damaged."""
    since_ms, found = _read(since, pool, file, data)
    figures = {each.pool: coverage(each, since_ms) for each in found}
    if form is Format.JSON:
        _as_json(found, figures)
    else:
        for name, scores in figures.items():
            _show_scores(name, scores)
    _say_damage(found)


def _show_scores(pool: str, scores: list[Coverage]) -> None:
    output.out.print(f"pool {pool}", style="bold")
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
    since_ms = moment_ms("--since", since) if since else 0
    return since_ms, [starts(past) for past in pasts(pool, file, data)]


def _as_json(found: list[Starts], figures: Mapping[str, Sequence[Any]]) -> None:
    """A document for each pool: its figures, those of all jobs first, and the damage at which they end."""
    output.as_json([{"pool": each.pool, "figures": figures[each.pool], "damage": each.damage} for each in found])


def _say_damage(found: list[Starts]) -> None:
    """Exit 1 when a ledger is damaged. Its figures cover the records before the damage."""
    for each in found:
        if each.damage is not None:
            damage = each.damage
            output.damaged(damage.offset, damage.text, damage.trusted_offset, f"the table of pool {each.pool}")
    if any(each.damage is not None for each in found):
        raise typer.Exit(1)
