"""`headrace keys …`: who may use the API, as which tenant and tiers; and the keys with which processes sign."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cli import output
from cli.connection import DATA_DEFAULT, Data, settings
from cli.errors import WrongUse
from cli.output import Format, Output
from cli.signing_keys import derive
from registry import keys
from runtime.postgres import engine as connect

app = typer.Typer(no_args_is_help=True, help="API keys: shown once, stored hashed.")


class Scope(StrEnum):
    USER = "user"
    OPERATOR = "operator"


@app.command()
def create(
    tenant: Annotated[str, typer.Option(help="Whose jobs.")],
    tier: Annotated[list[str], typer.Option(help="A tier of its jobs; repeat the option. The first is the default.")],
    scope: Annotated[Scope, typer.Option(help="operator: sees clusters, nodes and the policy too.")] = Scope.USER,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Make a key and print its secret. Nobody can see the secret again."""
    secret = keys.create(connect(settings(data)), tenant, tier, scope.value)
    if form is Format.JSON:
        return output.as_json({"key": secret, "tenant": tenant, "tiers": tier, "scope": scope.value})
    output.err.print("keep it: it is not shown again")
    print(secret)


@app.command("list")
def list_keys(data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Every key, without its secret."""
    known = keys.listed(connect(settings(data)))
    if form is Format.JSON:
        return output.as_json(known)
    output.table(
        ["key", "tenant", "tiers", "scope", "created", "revoked"],
        [
            (
                k.key.id,
                k.key.tenant,
                ", ".join(k.key.tiers),
                k.key.scope,
                output.moment(k.created_ms),
                output.moment(k.revoked_ms),
            )
            for k in known
        ],
        empty="there is no key; make one with `headrace keys create --tenant NAME --tier TIER`",
    )


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id, from `keys list`")],
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """End a key."""
    if not keys.revoke(connect(settings(data)), key):
        raise WrongUse(f"there is no key {key!r} in force; see `headrace keys list`")
    if form is Format.JSON:
        return output.as_json({"key": key, "revoked": True})
    output.err.print(f"{key} is revoked; API processes forget it within a minute")


app.command()(derive)
