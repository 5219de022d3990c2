"""`headrace models …`: publish a directory, see what is published, move a pointer and move it back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine

from cli import output
from cli.caller import user_name
from cli.connection import DATA_DEFAULT, Data, settings
from cli.errors import CommandFailed, WrongUse
from cli.output import Format, Output
from contract.inputs import WithdrawRequested
from contract.names import ALIAS_DEFAULT, parse_model
from registry import aliases, models, operators, publishing
from registry.aliases import AliasMove
from registry.manifest import VersionFile
from runtime.object_store import ObjectStore
from runtime.postgres import engine as connect
from views import queries

app = typer.Typer(no_args_is_help=True, help="Versions of models, and the aliases that point to them.")

AliasOption = Annotated[str, typer.Option("--alias", help="The pointer.")]
Reason = Annotated[str, typer.Option("--why", help="Kept in the alias's history.")]

RELAYED_WITHIN_S = 15.0
SOURCE = "//headrace/models"


@app.command()
def publish(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="model.yaml, code, weights/, environment.lock")],
    pool: Annotated[str, typer.Option(help="The pool of the model, for ever. Default: the only pool.")] = "",
    alias: Annotated[str, typer.Option("--alias", help="Point this alias to the version; '': none.")] = ALIAS_DEFAULT,
    why: Reason = "",
    vendor_wheels: Annotated[
        bool, typer.Option("--vendor-wheels", help="Store the environment's wheels too, not only their hashes.")
    ] = False,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Publish a model directory as an immutable version."""
    found = settings(data)
    database = connect(found)
    with database.connect() as connection:
        in_force = queries.policies(connection)
    with output.err.status("checking and uploading…") as status:

        def uploaded(file: VersionFile) -> None:
            status.update(f"stored {file.path}")

        done = publishing.publish(
            directory,
            engine=database,
            store=ObjectStore(found),
            who=user_name(),
            why=why,
            pool=pool,
            alias=alias,
            wheels_from_index=in_force[0].policy.wheels_from_index if in_force else True,
            vendor_wheels=vendor_wheels,
            on_uploaded=uploaded,
        )
        await_relay(database, f"{done.version.model}@{done.version.digest}")
    if done.version.pool not in {entry.pool for entry in in_force}:
        waits = (
            f"pool {done.version.pool}: no scheduler has opened it yet; what is submitted there waits until one does"
        )
        output.err.print(waits)
    if form is Format.JSON:
        return output.as_json(done)
    what = "published" if done.is_new else "was published before, nothing added"
    output.facts(
        [
            ("model", done.version.model),
            ("version", done.version.digest),
            ("pool", done.version.pool),
            ("", what),
            ("alias", f"{done.move.alias} (move {done.move.move})" if done.move else "none"),
            ("uploaded", f"{done.bytes_uploaded / 1e6:.1f} MB, {done.wheels_vendored} wheels"),
            *([("not part of it", ", ".join(done.ignored))] if done.ignored else []),
        ]
    )


@app.command("list")
def list_models(data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Every model with its pool, its aliases and its number of versions."""
    known = models.listed(connect(settings(data)))
    if form is Format.JSON:
        return output.as_json(known)
    output.table(
        ["model", "pool", "aliases", "versions"],
        [
            (m.name, m.pool, ", ".join(f"{a.alias} → {a.version[7:19]}" for a in m.aliases), len(m.versions))
            for m in known
        ],
        empty="no model is published; publish one with `headrace models publish DIR`",
    )


@app.command()
def show(
    model: str, alias: AliasOption = ALIAS_DEFAULT, data: Data = DATA_DEFAULT, form: Output = Format.TABLE
) -> None:
    """One model: its versions, and the history of an alias."""
    database = connect(settings(data))
    versions = models.versions(database, model)
    with database.connect() as connection:
        withdrawn = queries.withdrawals(connection, model)
    known = {a.alias for a in models.show(database, model).aliases}
    moves = aliases.history(database, model, alias) if alias in known or alias != ALIAS_DEFAULT else ()
    if form is Format.JSON:
        return output.as_json({"versions": versions, "withdrawn": sorted(withdrawn), "alias": alias, "moves": moves})
    live = moves[-1].version if moves else ""
    output.table(
        ["version", "published", "by", "chipsets", "timeout", ""],
        [
            (
                v.digest,
                output.moment(v.published_ms),
                v.published_by,
                ", ".join(v.manifest.chipsets),
                output.duration(v.manifest.timeout_ms),
                " ".join([*(["withdrawn"] * (v.digest in withdrawn)), *([f"← {alias}"] * (v.digest == live))]),
            )
            for v in versions
        ],
        empty="no version is published",
    )
    output.out.print()
    output.table(
        ["move", "version", "when", "who", "why"],
        [(m.move, m.version[7:19], output.moment(m.moved_ms), m.who, _reason(m)) for m in moves],
        empty=f"alias {alias} was never set",
    )


@app.command()
def promote(
    model: str,
    version: Annotated[str, typer.Argument(help="sha256:… of a published version")],
    alias: AliasOption = ALIAS_DEFAULT,
    why: Reason = "",
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Point an alias to a version: jobs accepted from then on run it."""
    database = connect(settings(data))
    if _is_withdrawn(database, model, version, kill=False):
        raise CommandFailed(
            f"expected a version that may run, found {version}, which was withdrawn; promote another:"
            f" `headrace models show {model}` lists the versions"
        )
    _moved(database, aliases.promote(database, model, alias, version, user_name(), why), form)


@app.command()
def rollback(
    model: str,
    alias: AliasOption = ALIAS_DEFAULT,
    why: Reason = "",
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Point an alias back to the version before."""
    database = connect(settings(data))
    _moved(database, aliases.rollback(database, model, alias, user_name(), why), form)


@app.command()
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
    if pointing and not force:
        raise CommandFailed(
            f"expected a version to which no alias points, found {', '.join(f'{model}@{alias}' for alias in pointing)}"
            f" on it: its jobs would wait and new ones be refused; first `headrace models promote {model} VERSION"
            f" --alias {pointing[0]}` or `headrace models rollback {model} --alias {pointing[0]}`, or add --force"
        )
    with database.connect() as connection:
        policies = {entry.pool: entry.policy for entry in queries.policies(connection)}
    if version.pool not in policies:
        raise CommandFailed(
            f"expected a policy in force in pool {version.pool}, found none, so nothing of the model can run; apply a"
            " policy first: `headrace policy apply FILE`"
        )
    partition = policies[version.pool].pools[version.pool].partition
    if not _is_withdrawn(database, model, digest, kill=kill):
        operators.send(found, WithdrawRequested(model, digest, kill), [partition], SOURCE)
        _await_withdrawal(database, model, digest, kill=kill)
    if form is Format.JSON:
        return output.as_json({"model": model, "version": digest, "withdrawn": True, "kill": kill})
    what = "what runs is stopped" if kill else "what runs may finish"
    output.out.print(f"{model} {digest} is withdrawn: nothing of it starts, {what}", soft_wrap=True)


def _is_withdrawn(database: Engine, model: str, digest: str, *, kill: bool) -> bool:
    """The ledger says so, at least as strictly as asked."""
    with database.connect() as connection:
        return queries.withdrawals(connection, model).get(digest, -1) >= kill


def _await_withdrawal(database: Engine, model: str, digest: str, *, kill: bool) -> None:
    deadline = time.monotonic() + RELAYED_WITHIN_S
    while not _is_withdrawn(database, model, digest, kill=kill):
        if time.monotonic() > deadline:
            raise CommandFailed(
                f"the scheduler is told, but did not follow within {RELAYED_WITHIN_S:.0f} s; it will when it runs: see"
                " `headrace status` and `headrace pools list`"
            )
        time.sleep(0.1)


def _moved(database: Engine, move: AliasMove, form: Format) -> None:
    await_relay(database, f"{move.model}@{move.alias}")
    if form is Format.JSON:
        return output.as_json(move)
    output.out.print(
        f"{move.model}@{move.alias} points to {move.version} (move {move.move}); jobs accepted before keep theirs"
    )


def _reason(move: AliasMove) -> str:
    return f"rollback{': ' + move.why if move.why else ''}" if move.is_rollback else move.why


def await_relay(database: Engine, reference: str) -> None:
    """Waits until the relay has told the scheduler, so that the next command can use the reference."""
    deadline = time.monotonic() + RELAYED_WITHIN_S
    while not models.resolve(database, reference).relayed:
        if time.monotonic() > deadline:
            raise CommandFailed(
                f"{reference} is stored, but the relay has not told the scheduler within {RELAYED_WITHIN_S:.0f} s;"
                " see that the relay runs: `headrace status`"
            )
        time.sleep(0.02)
