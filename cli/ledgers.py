"""The ledgers that a command means: of the installation or of a file, of one pool or of all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine

from audit.ledger.past import LedgerPast, Remembered, past_of_file, past_of_partition
from audit.ledger.snapshots import PastSnapshots
from cli import output
from cli.connection import known_installation_keys, settings
from cli.errors import WrongUse
from contract.seals import SnapshotSeals
from registry.pools import partitions
from runtime.object_store import ObjectStore
from runtime.postgres import engine as connect
from runtime.settings import Settings
from views.projection import position

PoolOption = Annotated[str, typer.Option("--pool", help="Only this pool.")]
LedgerFile = Annotated[Path | None, typer.Option("--file", help="A ledger that `audit export` wrote; needs --pool.")]


@contextmanager
def database(here: Settings) -> Iterator[Engine]:
    """An engine for Postgres, for one question."""
    engine = connect(here)
    try:
        yield engine
    finally:
        engine.dispose()


def pools_of(here: Settings, pool: str) -> dict[str, int]:
    """Partitions by pool: of this pool, or of all pools when `pool` is empty. WrongUse when there is no such pool."""
    with database(here) as engine:
        known = partitions(engine)
    if not pool:
        return known
    if pool not in known:
        raise WrongUse(f"there is no pool {pool!r}; the pools are {', '.join(known)}")
    return {pool: known[pool]}


def only(pools: Iterable[str]) -> str:
    """The only pool. WrongUse when there are several."""
    names = sorted(pools)
    if len(names) != 1:
        raise WrongUse(f"expected --pool NAME, one of {', '.join(names)}")
    return names[0]


def pool_of_file(pool: str) -> str:
    """The pool that --pool named beside --file. WrongUse when it named none."""
    if not pool:
        raise WrongUse("--file needs --pool NAME: the pool whose ledger it is")
    return pool


def pasts(pool: str, file: Path | None, data: Path) -> list[LedgerPast]:
    """The past in the file, if one is given; else of this pool, or of all pools when `pool` is empty.

    WrongUse; ExportUnreadable."""
    if file is not None:
        return [past_of_file(file, pool_of_file(pool))]
    here = settings(data)
    found, snapshots = pools_of(here, pool), snapshots_of(here, data)
    return [_past(here, name, partition, snapshots) for name, partition in found.items()]


def past_of_pool(here: Settings, data: Path, pool: str) -> LedgerPast:
    """The past of this pool. WrongUse when there is no such pool."""
    return _past(here, pool, pools_of(here, pool)[pool], snapshots_of(here, data))


def snapshots_of(here: Settings, data: Path) -> PastSnapshots:
    """The snapshots that a scheduler wrote, told by their seals. Without the installation's key there are none, and the
    ledger is read from its beginning."""
    seals = SnapshotSeals(known_installation_keys(data))
    if not seals.are_made:
        output.err.print(
            "reading from the first record, which takes longer: without the installation's key"
            " (HEADRACE_INSTALLATION_KEYS) nobody can tell who wrote a snapshot",
            soft_wrap=True,
        )
    return PastSnapshots(ObjectStore(here), seals)


def _past(here: Settings, pool: str, partition: int, snapshots: PastSnapshots) -> LedgerPast:
    with database(here) as engine, engine.connect() as connection:
        at = position(connection, pool)
    remembered = [] if at is None else [Remembered("the views", at.offset)]
    return past_of_partition(here.brokers, pool, partition, snapshots, remembered)
