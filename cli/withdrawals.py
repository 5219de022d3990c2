"""`headrace models withdraw`: a version must not run any more."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer
from sqlalchemy import Engine

from cli import output
from cli.connection import DATA_DEFAULT, Data, settings
from cli.errors import CommandFailed, WrongUse
from cli.following import followed
from cli.output import Format, Output
from contract.inputs import WithdrawRequested
from contract.names import parse_model
from registry import models, operators
from runtime.postgres import engine as connect
from views import queries, withdrawn
from views.actors import to_operator
from views.withdrawn import WithdrawnVersion

SOURCE = "//headrace/models"


def withdraw(
    reference: Annotated[str, typer.Argument(metavar="MODEL@sha256:…", help="A published version, by its digest.")],
    kill: Annotated[bool, typer.Option("--kill", help="Stop what runs, too. Default: it may finish.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Withdraw it although an alias points to it.")] = False,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Withdraw a version for ever: it starts no more. Waiting jobs take what their alias has now; others end."""
    try:
        model, _, digest = parse_model(reference)
    except ValueError as error:
        raise WrongUse(str(error)) from None
    if not digest:
        raise WrongUse(f"expected MODEL@sha256:…, the digest of a version, found {reference[:100]!r}")
    found = settings(data)
    database = connect(found)
    version = models.resolve(database, reference)
    pointing = [alias.alias for alias in models.show(database, model).aliases if alias.version == digest]
    waiting = _waiting(database, digest)
    if pointing and not force:
        raise CommandFailed(
            f"expected a version to which no alias points, found {_named(model, pointing)} on it: new jobs of it would"
            f" be refused, and those that wait ({waiting} now) would go on waiting; first `headrace models promote"
            f" {model} VERSION --alias {pointing[0]}` or `headrace models rollback {model} --alias {pointing[0]}`, or"
            " add --force"
        )
    partition = _partition(database, version.pool)
    look = partial(_is_withdrawn, database, digest, kill=kill)
    if not look():
        operators.send(found, WithdrawRequested(model, digest, kill), [partition], SOURCE)
        followed(f"pool {version.pool}", "pools", look, bool)
    if form is Format.JSON:
        said = {"model": model, "version": digest, "withdrawn": True, "kill": kill, "aliases": pointing}
        return output.as_json(said | {"waited": waiting})
    what = "what runs is stopped" if kill else "what runs may finish"
    output.out.print(f"{model} {digest} is withdrawn: nothing of it starts, {what}", soft_wrap=True)
    if waiting:
        moved = f"wait on until {_named(model, pointing)} moves" if pointing else "take what their alias has now"
        output.out.print(
            f"jobs that waited for it: {waiting}; those that named an alias {moved}, those that named the digest end",
            soft_wrap=True,
        )
    if pointing:
        output.out.print(
            f"new jobs of {_named(model, pointing)} are refused until `headrace models promote {model} VERSION --alias"
            f" {pointing[0]}`",
            soft_wrap=True,
        )


def _named(model: str, pointing: list[str]) -> str:
    return ", ".join(f"{model}@{alias}" for alias in pointing)


def said_of(version: WithdrawnVersion | None) -> str:
    """What a table says beside a version that was withdrawn."""
    if version is None:
        return ""
    by = f" by {to_operator(version.actor)}" if version.actor else ""
    return f" (withdrawn{by}, waiting: {version.waiting})" if version.waiting else f" (withdrawn{by})"


def _waiting(database: Engine, digest: str) -> int:
    with database.connect() as connection:
        return withdrawn.waiting_jobs(connection, [digest]).get(digest, 0)


def _partition(database: Engine, pool: str) -> int:
    """Where records for the pool go. CommandFailed when it has no policy."""
    with database.connect() as connection:
        policies = {entry.pool: entry.policy for entry in queries.policies(connection)}
    if pool not in policies:
        raise CommandFailed(
            f"expected a policy in force in pool {pool}, found none, so nothing of the model can run; apply a policy"
            " first: `headrace policy apply FILE`"
        )
    return policies[pool].pools[pool].partition


def _is_withdrawn(database: Engine, digest: str, *, kill: bool) -> bool:
    with database.connect() as connection:
        return withdrawn.is_withdrawn(connection, digest, kill=kill)
