"""`headrace audit what-if`: what the waits would have been."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from audit.diff import write_diff
from audit.recorded import LedgerEmpty, recorded
from audit.simulated_nodes import Costs
from audit.waits_plot import NoPlotter, draw
from audit.what_if import CHANGED, Changes, Column, Comparison, Unlike, WhatIf, of_ledger, of_trace
from cli import output
from cli.audit_traces import read_trace
from cli.connection import DATA_DEFAULT, Data
from cli.durations import duration_ms
from cli.errors import CommandFailed, WrongUse
from cli.files import policy_in, written
from cli.output import Format, Output
from cli.pasts import File, pasts
from contract.policy import UNLIMITED

_WHOLE = re.compile(r"[0-9]{1,7}")


def what_if(
    policy: Annotated[
        Path | None, typer.Option("--policy", metavar="FILE", help="The policy to try; default: the recorded one.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option("--trace", metavar="CSV", help="A trace in place of a ledger (docs/traces.md).")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", metavar="FILE", help="With --trace: a second policy to compare with.")
    ] = None,
    pool: Annotated[str, typer.Option("--pool", help="Whose ledger; default: the only pool.")] = "",
    file: File = None,
    limit: Annotated[
        list[str] | None, typer.Option("--limit", metavar="CLUSTER=N|none", help="Another limit; repeat it.")
    ] = None,
    capacity: Annotated[
        list[str] | None, typer.Option("--capacity", metavar="CLUSTER=SLOTS", help="Other machines; repeat it.")
    ] = None,
    switch_cost: Annotated[str, typer.Option("--switch-cost", help="Loading another version, like 22.7s.")] = "0s",
    order: Annotated[str, typer.Option("--order", help="From a decision to its node, like 20ms.")] = "0s",
    fetch: Annotated[str, typer.Option("--fetch", help="Fetching a job's inputs, like 800ms.")] = "0s",
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw both.")] = None,
    jobs: Annotated[Path | None, typer.Option("--jobs", metavar="FILE.csv", help="The waits of each job.")] = None,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Recorded arrivals and run times under another policy, limit or capacity.

    Exit 1 when the ledger is damaged."""
    costs = Costs(
        duration_ms("--switch-cost", switch_cost), duration_ms("--order", order), duration_ms("--fetch", fetch)
    )
    changes = Changes(
        policy_in(policy) if policy is not None else None,
        _numbers("--limit", limit or [], least=1, none=True),
        _numbers("--capacity", capacity or [], least=0, none=False),
    )
    try:
        if trace is not None:
            compared = _trace(trace, changes, against, pool, costs)
        else:
            compared = _ledger(changes, pool, file, data, costs)
    except Unlike as error:
        raise WrongUse(str(error)) from None
    except LedgerEmpty as error:
        raise CommandFailed(str(error)) from None
    save(compared, jobs, plot)
    if form is Format.JSON:
        output.as_json(compared.summary)
    else:
        _show(compared.summary)
    if compared.summary.damage is not None:
        raise typer.Exit(1)


def _trace(trace: Path, changes: Changes, against: Path | None, pool: str, costs: Costs) -> Comparison:
    if changes.policy is None:
        raise WrongUse("--trace needs --policy FILE: a trace has no policy of its own")
    policies = {str(against): changes.limited(policy_in(against))} if against is not None else {}
    named = changes.limited(changes.policy)
    policies[CHANGED if against is not None else named.discipline] = named
    pool = pool or _only(list(changes.policy.pools))
    with output.err.status("simulating…"):
        return of_trace(read_trace(trace), policies, pool, changes, costs)


def _ledger(changes: Changes, pool: str, file: Path | None, data: Path, costs: Costs) -> Comparison:
    if changes == Changes():
        raise WrongUse("expected something to change: --policy FILE, --limit CLUSTER=N or --capacity CLUSTER=SLOTS")
    found = {past.pool: past for past in pasts(pool, file, data)}
    past = found[_only(list(found))]
    with output.err.status(f"simulating pool {past.pool}…"):
        return of_ledger(recorded(past), changes, costs)


def _only(pools: list[str]) -> str:
    if len(pools) != 1:
        raise WrongUse(f"expected --pool NAME, one of {', '.join(sorted(pools))}")
    return pools[0]


def _numbers(option: str, given: list[str], *, least: int, none: bool) -> dict[str, int]:
    numbers = {}
    for text in given:
        name, _, number = text.partition("=")
        if none and number == "none":
            numbers[name] = UNLIMITED
        elif _WHOLE.fullmatch(number) and least <= int(number) <= 1_000_000:
            numbers[name] = int(number)
        else:
            form = f"CLUSTER=N, a whole number of at least {least} and at most 1,000,000{', or none' if none else ''}"
            raise WrongUse(f"{option}: expected {form}, found {text[:80]!r}")
    return numbers


def save(compared: Comparison, jobs: Path | None, plot: Path | None) -> None:
    """What --jobs and --plot ask for: the waits of each job, the picture of all. WrongUse; CommandFailed."""
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


def _show(summary: WhatIf) -> None:
    if summary.damage is not None:
        damage = summary.damage
        output.damaged(damage.offset, damage.text, damage.trusted_offset, "the comparison below")
    out = output.out
    left_out = ", ".join(f"{count} {how}" for how, count in summary.left_out.items())
    out.print(
        f"pool {summary.pool}, {summary.jobs:,} jobs{f'; left out: {left_out}' if left_out else ''}", markup=False
    )
    for change in summary.changes:
        out.print(f"  {change}", markup=False, soft_wrap=True)
    show_columns(summary.columns)
    out.print()
    output.table(
        ["simulated", "slots used", "loads", "dispatches", "first to last"],
        [
            (
                column.name,
                f"{100 * column.running.utilisation:.1f} %",
                column.running.switches,
                column.running.dispatches,
                output.duration(column.running.span_ms),
            )
            for column in summary.columns
            if column.running is not None
        ],
        empty="nothing was simulated",
    )
    show_not_modelled(summary.not_modelled)


def show_columns(columns: Sequence[Column]) -> None:
    """Waits and SLOs of each tier, side by side."""
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
    """What the figures above do not know."""
    output.out.print("\nNot modelled:")
    for sentence in sentences:
        output.out.print(f"- {sentence}", markup=False, soft_wrap=True)
