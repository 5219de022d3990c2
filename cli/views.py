"""`headrace views …`: the tables from which the API answers."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import output
from cli.connection import DATA_DEFAULT, Data, settings
from cli.durations import duration_ms
from cli.errors import WrongUse
from cli.ledgers import database
from cli.output import Format, Output
from operations import retention

app = typer.Typer(no_args_is_help=True, help="The tables from which the API answers.")


@app.callback()
def views() -> None:
    """The tables from which the API answers."""


@app.command()
def prune(
    kept: Annotated[str, typer.Option(help="Keep jobs for so long after their end.")] = "90d",
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Remove jobs that ended long ago from the views. The ledger keeps their history, the store their results."""
    here, kept_ms = settings(data), duration_ms("--kept", kept)
    with database(here) as engine:
        try:
            done = retention.prune(engine, retention.first_offsets(engine, here.brokers), kept_ms)
        except retention.KeptTooShort as too_short:
            raise WrongUse(f"--kept: {too_short}") from None
    if form is Format.JSON:
        return output.as_json(done._asdict())
    output.table(["jobs removed", "copies forgotten"], [done], empty="")
