"""`headrace models allow` and `deny`: who may see a model and run it."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy import Engine

from cli import output
from cli.caller import user_name
from cli.connection import DATA_DEFAULT, Data, settings
from cli.errors import WrongUse
from cli.output import Format, Output
from registry import audiences
from registry.audiences import AudienceChange, Kind
from runtime.postgres import engine as connect

DOORS_KNOW_WITHIN = "a second or two"
"""What api and intake keep of it is a second old at most."""

Tenant = Annotated[str, typer.Option("--tenant", help="This tenant; counts before what is said of tiers and of all.")]
Tier = Annotated[str, typer.Option("--tier", help="Jobs of this tier; counts before what is said of all.")]
Everybody = Annotated[bool, typer.Option("--all", help="All of whom nothing else is said.")]
Why = Annotated[str, typer.Option("--why", help="Kept in the model's history.")]


def allow(
    model: str,
    tenant: Tenant = "",
    tier: Tier = "",
    everybody: Everybody = False,
    why: Why = "",
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Let a tenant, a tier or all see a model and run it. Nothing said means all."""
    _say(model, _whom(tenant, tier, everybody), allowed=True, why=why, database=connect(settings(data)), form=form)


def deny(
    model: str,
    tenant: Tenant = "",
    tier: Tier = "",
    everybody: Everybody = False,
    why: Why = "",
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Shut a model to a tenant, a tier or all: to them it is not there. Jobs that were accepted before run on."""
    _say(model, _whom(tenant, tier, everybody), allowed=False, why=why, database=connect(settings(data)), form=form)


def _whom(tenant: str, tier: str, everybody: bool) -> tuple[Kind, str]:
    if [bool(tenant), bool(tier), everybody].count(True) != 1:
        raise WrongUse("expected one of --tenant NAME, --tier NAME and --all, found none or several")
    if tenant:
        return "tenant", tenant
    return ("tier", tier) if tier else ("all", "")


def _say(model: str, whom: tuple[Kind, str], *, allowed: bool, why: str, database: Engine, form: Format) -> None:
    kind, name = whom
    change = audiences.change(database, model, kind, name, allowed=allowed, who=user_name(), why=why)
    if form is Format.JSON:
        said = {"model": model, "kind": kind, "name": name, "allowed": allowed, "changed": change is not None}
        return output.as_json(said)
    verb = "may" if allowed else "may not"
    if change is None:
        return output.out.print(f"{words_of(kind, name)} {verb} run {model}, as was said before", soft_wrap=True)
    output.out.print(
        f"{words_of(kind, name)} {verb} run {model}; the API and intake know it within {DOORS_KNOW_WITHIN}",
        soft_wrap=True,
    )
    if allowed and kind != "all" and audiences.of(database, model).is_open:
        output.out.print(
            f"so may all others of whom nothing else is said: `headrace models deny {model} --all` shuts it to them",
            soft_wrap=True,
        )


def words_of(kind: Kind, name: str) -> str:
    return "all of whom nothing else is said" if kind == "all" else f"{kind} {name}"


def row_of(change: AudienceChange) -> tuple[object, ...]:
    return (
        change.change,
        words_of(change.kind, change.name),
        "may" if change.allowed else "may not",
        output.moment(change.changed_ms),
        change.who,
        change.why,
    )
