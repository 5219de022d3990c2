"""`headrace audit what-if`: what the waits would have been."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.audit_traces import read_trace
from cli.comparison import (
    FetchTime,
    Jobs,
    OrderDelay,
    Plot,
    SwitchCost,
    costs_of,
    save,
    show_columns,
    show_not_modelled,
)
from cli.connection import DATA_DEFAULT, Data
from cli.errors import CommandFailed, WrongUse
from cli.files import policy_in
from cli.ledgers import LedgerFile, only, pasts
from cli.output import Format, Output
from contract.policy import UNLIMITED
from whatif.compare import CHANGED, Changes, Comparison, NotComparable, WhatIf, of_ledger, of_trace
from whatif.recorded import LedgerEmpty, recorded
from whatif.simulation.nodes import Costs

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
    file: LedgerFile = None,
    limit: Annotated[
        list[str] | None, typer.Option("--limit", metavar="CLUSTER=N|none", help="Another limit; repeat it.")
    ] = None,
    capacity: Annotated[
        list[str] | None, typer.Option("--capacity", metavar="CLUSTER=SLOTS", help="Other machines; repeat it.")
    ] = None,
    switch_cost: SwitchCost = "0s",
    order: OrderDelay = "0s",
    fetch: FetchTime = "0s",
    plot: Plot = None,
    jobs: Jobs = None,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Recorded arrivals and run times under another policy, limit or capacity.

    Exit 1 when the ledger is damaged."""
    costs = costs_of(switch_cost, order, fetch)
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
    except NotComparable as error:
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
    pool = pool or only(changes.policy.pools)
    with output.err.status("simulating…"):
        return of_trace(read_trace(trace), policies, pool, changes, costs)


def _ledger(changes: Changes, pool: str, file: Path | None, data: Path, costs: Costs) -> Comparison:
    if changes == Changes():
        raise WrongUse("expected something to change: --policy FILE, --limit CLUSTER=N or --capacity CLUSTER=SLOTS")
    found = {past.pool: past for past in pasts(pool, file, data)}
    past = found[only(found)]
    with output.err.status(f"simulating pool {past.pool}…"):
        return of_ledger(recorded(past), changes, costs)


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


def _show(summary: WhatIf) -> None:
    if summary.damage is not None:
        damage = summary.damage
        output.damaged(damage.offset, damage.text, damage.trusted_offset, "the comparison below")
    out = output.out
    left_out = ", ".join(f"{count} {how}" for how, count in summary.left_out.items())
    out.print(f"pool {summary.pool}, {summary.jobs:,} jobs{f'; left out: {left_out}' if left_out else ''}")
    for change in summary.changes:
        out.print(f"  {change}", soft_wrap=True)
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
