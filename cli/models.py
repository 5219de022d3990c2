"""`headrace models …`: publish a directory, see what is published, move a pointer and move it back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from msgspec import structs
from sqlalchemy import Engine

from cli import model_audience, model_owners, output, withdrawals
from cli.caller import user_name
from cli.connection import DATA_DEFAULT, Data, settings
from cli.errors import CommandFailed
from cli.output import Format, Output
from contract.names import ALIAS_DEFAULT
from registry import aliases, audiences, models, owners, publishing
from registry.aliases import AliasMove
from registry.manifest import VersionFile
from registry.models import RegisteredVersion
from registry.schemas import SchemaRefused, media_fields
from registry.schemas.media import gives, takes
from runtime.object_store import ObjectStore
from runtime.postgres import engine as connect
from views import queries, withdrawn

app = typer.Typer(no_args_is_help=True, help="Versions of models, and the aliases that point to them.")
app.command()(withdrawals.withdraw)
app.command()(model_owners.owner)
app.command()(model_audience.allow)
app.command()(model_audience.deny)

AliasOption = Annotated[str, typer.Option("--alias", help="The pointer.")]
Reason = Annotated[str, typer.Option("--why", help="Kept in the alias's history.")]

RELAYED_WITHIN_S = 15.0


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
        in_force = queries.publishing_rules(connection)
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
            wheels_from_index=all(in_force.values()),
            vendor_wheels=vendor_wheels,
            on_uploaded=uploaded,
        )
        await_relay(database, f"{done.version.model}@{done.version.digest}")
    if done.version.pool not in in_force:
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
    database = connect(settings(data))
    known = models.listed(database)
    with database.connect() as connection:
        gone = withdrawn.versions(connection)
    if form is Format.JSON:
        of = {m.name: [version for version in gone.values() if version.model == m.name] for m in known}
        return output.as_json([structs.asdict(m) | {"withdrawn": of[m.name]} for m in known])
    output.table(
        ["model", "pool", "aliases", "versions"],
        [
            (
                m.name,
                m.pool,
                ", ".join(
                    f"{a.alias} → {a.version[7:19]}{withdrawals.said_of(gone.get(a.version))}" for a in m.aliases
                ),
                len(m.versions),
            )
            for m in known
        ],
        empty="no model is published; publish one with `headrace models publish DIR`",
    )


@app.command()
def show(
    model: str, alias: AliasOption = ALIAS_DEFAULT, data: Data = DATA_DEFAULT, form: Output = Format.TABLE
) -> None:
    """One model: its owner, its versions, the history of an alias, and of who may run it."""
    database = connect(settings(data))
    versions = models.versions(database, model)
    with database.connect() as connection:
        owners.require(connection, model)  # an author would see another's model without versions
        owner = owners.named(owners.owner_of(connection, model))
        gone = withdrawn.versions(connection, model)
        audience = audiences.history(connection, model) if audiences.may_read(connection) else ()
    known = {a.alias for a in models.show(database, model).aliases}
    moves = aliases.history(database, model, alias) if alias in known or alias != ALIAS_DEFAULT else ()
    if form is Format.JSON:
        shown = {"owner": owner, "versions": versions, "withdrawn": list(gone.values()), "alias": alias, "moves": moves}
        shown |= {"audience": audience}
        return output.as_json(shown)
    output.out.print(f"{model} belongs to {owner}", highlight=False)
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
                ((f"← {alias}" if v.digest == live else "") + withdrawals.said_of(gone.get(v.digest))).strip(),
            )
            for v in versions
        ],
        empty="no version is published",
    )
    taken = [row for v in versions if v.digest == live for row in _media_rows(v)]
    if taken:
        output.out.print()
        output.table(["input", "takes", "the model gets"], taken, empty="")
    output.out.print()
    output.table(
        ["move", "version", "when", "who", "why"],
        [(m.move, m.version[7:19], output.moment(m.moved_ms), m.who, _reason(m)) for m in moves],
        empty=f"alias {alias} was never set",
    )
    if audience:
        output.out.print()
        output.table(
            ["change", "who", "run it", "when", "by", "why"],
            [model_audience.row_of(change) for change in audience],
            empty="everybody may run it",
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


def _moved(database: Engine, move: AliasMove, form: Format) -> None:
    await_relay(database, f"{move.model}@{move.alias}")
    if form is Format.JSON:
        return output.as_json(move)
    output.out.print(
        f"{move.model}@{move.alias} points to {move.version} (move {move.move}); jobs accepted before keep theirs"
    )


def _media_rows(version: RegisteredVersion) -> list[tuple[str, str, str]]:
    """Empty for a version whose media words this release refuses."""
    try:
        fields = media_fields(version.manifest.inputs)
    except SchemaRefused:
        return []
    return [(name, takes(field), gives(field)) for name, field in fields.items()]


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
