"""`headrace audit …`: verify a ledger, tell the story of a job, export the history."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audit import story as stories
from audit.ledger.export import export as write_export
from audit.ledger.reader import JobUnknown, jobs_of_partition, ledger_of_file, ledger_of_partition
from audit.ledger.snapshots import PastSnapshots
from audit.verify import verdict as verdicts
from audit.verify.anchors import anchors_of_snapshots, anchors_of_views
from audit.verify.jobs_topic import JobsTopic
from audit.verify.verification import Witnesses
from audit.verify.verification import verify as check
from cli import output
from cli.audit_acts import show_acts
from cli.audit_as_of import show_as_of
from cli.audit_starts import show_forecasts, show_slo
from cli.audit_traces import import_trace
from cli.audit_what_if import what_if
from cli.connection import DATA_DEFAULT, Data, known_installation_keys, settings
from cli.errors import CommandFailed, WrongUse
from cli.job_ids import JobId
from cli.ledgers import LedgerFile, PoolOption, database, pool_of_file, pools_of
from cli.output import Format, Output
from contract.chain import Damaged
from contract.names import pool_of
from contract.seals import SnapshotSeals
from runtime.object_store import ObjectStore
from runtime.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The history: verified, told, exported.")

app.command("import")(import_trace)
app.command("what-if")(what_if)
app.command("as-of")(show_as_of)
app.command("acts")(show_acts)
app.command("slo")(show_slo)
app.command("forecasts")(show_forecasts)


@app.command()
def verify(
    pool: PoolOption = "",
    file: LedgerFile = None,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Fold every ledger, check chain and invariants, and decide everything again. Exit 1 when anything differs."""
    if file is not None:
        found = [check(ledger_of_file(file), pool_of_file(pool))]
    else:
        here = settings(data)
        found = [verify_pool(here, data, name, partition) for name, partition in pools_of(here, pool).items()]
    if form is Format.JSON:
        output.as_json(found)
    else:
        for verdict in found:
            output.out.print(verdicts.render(verdict), style="" if verdict.clean else "red")
    if not all(verdict.clean for verdict in found):
        raise typer.Exit(1)


@app.command()
def story(job: JobId, data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """A job's life in sentences, with the offsets that prove them."""
    here = settings(data)
    try:
        partition = pools_of(here, pool_of(job))[pool_of(job)]
        told = stories.story(job, ledger_of_partition(here.brokers, partition)[0])
    except ValueError as error:
        raise WrongUse(str(error)) from None
    except (JobUnknown, Damaged) as error:
        raise CommandFailed(str(error)) from None
    if form is Format.JSON:
        return output.as_json(told)
    output.out.print(stories.render(told))


@app.command()
def export(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines; holds no user's words.")],
    pool: Annotated[str, typer.Option("--pool", help="Whose ledger.")],
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Write a pool's ledger to a file that `audit verify --file` reads."""
    here = settings(data)
    source, _ = ledger_of_partition(here.brokers, pools_of(here, pool)[pool])
    try:
        records = write_export(source, path)
    except OSError as error:
        raise WrongUse(f"cannot write {path}: {error.strerror}") from None
    if form is Format.JSON:
        return output.as_json({"pool": pool, "records": records, "file": str(path)})
    output.err.print(f"{records} records of pool {pool} are in {path}")


def verify_pool(here: Settings, data: Path, pool: str, partition: int) -> verdicts.Verdict:
    """Verifies one pool. Anchors are read first, then the ledger, then `jobs` up to what the ledger can have read. A
    snapshot vouches for what is read if its seal is by the installation's key; where the key is not known, any snapshot
    does, and its name says that nobody checked the seal."""
    store = ObjectStore(here)
    snapshots = PastSnapshots(store, SnapshotSeals(known_installation_keys(data)), unproved=True)
    with database(here) as engine:
        anchors = [*anchors_of_snapshots(snapshots, pool), *anchors_of_views(engine, pool)]
    if snapshots.passed_over:
        output.err.print(
            f"pool {pool}: {len(snapshots.passed_over)} snapshots without a seal by the installation's key were passed"
            f" over, the newest {snapshots.passed_over[-1].key}",
            soft_wrap=True,
        )
    source, _ = ledger_of_partition(here.brokers, partition)
    records, kept_from = jobs_of_partition(here.brokers, partition)
    with output.err.status(f"verifying pool {pool}…"):
        return check(source, pool, Witnesses(anchors=anchors, jobs_topic=JobsTopic(records, kept_from), store=store))
