"""`headrace results …`: what attempts left in the object store and nobody wants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import typer

from audit.ledger.reader import ledger_from
from cli import output
from cli.connection import DATA_DEFAULT, Data, settings
from cli.errors import CommandFailed
from cli.ledgers import PoolOption, pools_of
from cli.moments import now_ms
from cli.output import Format, Output
from contract import signers
from contract.batch import Batch
from contract.chain import Chain, Counted, Damaged
from contract.signing import RecordSigner
from operations.copy_sweep import LateCopies, bury_late_copies
from operations.inputs_sweep import InputsSweep
from operations.result_sweep import sweep as swept
from runtime import jobs_writer
from runtime.object_store import ObjectStore
from runtime.settings import Settings

app = typer.Typer(no_args_is_help=True, help="What attempts left in the object store.")


@app.callback()
def results() -> None:
    """What attempts left in the object store."""


@app.command()
def sweep(pool: PoolOption = "", data: Data = DATA_DEFAULT, form: Output = Format.TABLE) -> None:
    """Remove results that the ledger says do not count, prepared media that no job needs any more, and what was stored
    or submitted for jobs after their erasure."""
    here = settings(data)
    signer = jobs_writer.signer_of(here, signers.OPERATOR)
    store = ObjectStore(here)
    done = {name: _swept(store, here, signer, name, partition) for name, partition in pools_of(here, pool).items()}
    if form is Format.JSON:
        return output.as_json([{"pool": name, **one._asdict()} for name, one in done.items()])
    output.table(
        ["pool", "attempts", "preparations", "objects removed", "copies buried"],
        [(name, *one) for name, one in done.items()],
        empty="no pool; `headrace policy apply FILE` names some",
    )


class _Done(NamedTuple):
    attempts: int
    preparations: int
    objects: int
    copies: int


def _swept(store: ObjectStore, here: Settings, signer: RecordSigner, pool: str, partition: int) -> _Done:
    late, inputs = LateCopies(), InputsSweep(store, pool)
    try:
        batches = inputs.watching(late.watching(_batches(here, pool, partition)))
        attempts, objects = swept(store, batches, now_ms())
        preparations, prepared = inputs.remove(now_ms())
        copies = bury_late_copies(here.brokers, signer, partition, late, now_ms())
        return _Done(attempts, preparations, objects + prepared, copies)
    except Damaged as damage:
        raise CommandFailed(
            f"the ledger of pool {pool} is damaged: {damage}; nothing of its results was removed; run `headrace audit"
            " verify`"
        ) from None


def _batches(here: Settings, pool: str, partition: int) -> Iterator[Batch]:
    """The batches of the pool that count, from its ledger's beginning up to now."""
    chain = Chain(pool)
    read, _ = ledger_from(here.brokers, partition)
    for record in read(0):
        judged = chain.offer(record.offset, record.value)
        if isinstance(judged, Counted):
            yield judged.batch
