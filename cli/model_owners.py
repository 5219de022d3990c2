"""`headrace models owner`: whose a model is, and handing it to somebody else."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import output
from cli.caller import user_name
from cli.connection import DATA_DEFAULT, Data, settings
from cli.output import Format, Output
from registry import owners
from runtime.postgres import engine as connect

NewOwner = Annotated[
    str, typer.Argument(metavar="[NEW]", help=f"A login of an author, or `{owners.OPERATORS}`. None: who had it when.")
]


def owner(
    model: str,
    new: NewOwner = "",
    why: Annotated[str, typer.Option("--why", help="Kept in the model's history.")] = "",
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Show whose a model is, or hand it over: from then on the new owner publishes it, and no other author."""
    database = connect(settings(data))
    if not new:
        history = owners.history(database, model)
        if form is Format.JSON:
            return output.as_json(history)
        return output.table(
            ["change", "owner", "when", "who", "why"],
            [(c.change, owners.named(c.owner), output.moment(c.given_ms), c.who, c.why) for c in history],
            empty=f"{model} has always belonged to {owners.OPERATORS}",
        )
    given = owners.give(database, model, "" if new == owners.OPERATORS else new, user_name(), why)
    if form is Format.JSON:
        return output.as_json({"model": model, "owner": new, "changed": given is not None})
    said = f"{model} belongs to {new}" if given else f"{model} belonged to {new} before; nothing was changed"
    output.out.print(said, highlight=False, soft_wrap=True)
