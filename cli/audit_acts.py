"""`headrace audit acts`: who asked for what."""

from __future__ import annotations

from typing import Annotated

import typer

from audit.acts import Act, acts
from audit.ledger.reader import ledger_of_file, ledger_of_partition
from cli import output
from cli.connection import DATA_DEFAULT, Data, settings
from cli.errors import CommandFailed
from cli.ledgers import LedgerFile, PoolOption, pool_of_file, pools_of
from cli.output import Format, Output
from contract.chain import Damaged
from views.actors import to_operator


def show_acts(
    by: Annotated[str, typer.Option("--by", help="Only this actor: operator.NAME, NAME, or key_ID.")] = "",
    pool: PoolOption = "",
    file: LedgerFile = None,
    data: Data = DATA_DEFAULT,
    form: Output = Format.TABLE,
) -> None:
    """Who applied a policy, moved an alias, held, drained, cordoned, withdrew, ended or erased something."""
    try:
        if file is not None:
            found = list(acts(pool_of_file(pool), ledger_of_file(file), by))
        else:
            here = settings(data)
            found = [
                act
                for name, partition in pools_of(here, pool).items()
                for act in acts(name, ledger_of_partition(here.brokers, partition)[0], by)
            ]
    except Damaged as error:
        raise CommandFailed(str(error)) from None
    if form is Format.JSON:
        return output.as_json(found)
    output.table(
        ["when", "pool", "offset", "who", "what"],
        [_row(act) for act in found],
        empty="nobody has asked for anything, or nobody signed",
    )


def _row(act: Act) -> tuple[object, ...]:
    return output.moment(act.at_ms), act.pool, act.offset, to_operator(act.actor), act.sentence
