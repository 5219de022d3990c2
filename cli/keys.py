"""`headrace keys …`: who may use the API, as which tenant and tiers; and the keys with which processes sign."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer
from sqlalchemy import Engine

from cli import output
from cli.connection import DATA_DEFAULT, Data, settings
from cli.errors import WrongUse
from cli.key_rotation import rotate, status
from cli.output import Format, Output
from cli.signing_keys import derive
from registry import keys
from runtime.postgres import engine as connect
from views import queries

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
    database = connect(settings(data))
    _check_tiers(database, tier)
    secret = keys.create(database, tenant, tier, scope.value)
    if form is Format.JSON:
        return output.as_json({"key": secret, "tenant": tenant, "tiers": tier, "scope": scope.value})
    output.err.print("keep it: it is not shown again")
    print(secret)


def _check_tiers(database: Engine, tiers: Sequence[str]) -> None:
    """WrongUse for a tier that no policy in force has. Before there is one, a warning: the key may be meant for the
    next policy, and the API refuses a tier that is not there."""
    with database.connect() as connection:
        known = {name for view in queries.policies(connection) for name in view.policy.tiers}
    if not known:
        return output.err.print("whether there are such tiers is not known: no policy is in force yet")
    if unknown := [name for name in tiers if name not in known]:
        raise WrongUse(
            f"--tier: expected one of {', '.join(sorted(known))}, found {unknown[0][:80]!r}; `headrace policy show` has"
            " the policy in force"
        )


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
    output.err.print(f"{key} is revoked; API processes forget it within 5 s, and its event streams end within 20 s")


app.command()(derive)
app.command()(rotate)
app.command()(status)
