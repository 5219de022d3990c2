"""The ledgers that a command means: of the installation or of a file, of one pool or of all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine

from audit.ledger.past import LedgerPast, Remembered, past_of_file, past_of_partition
from cli.connection import settings
from cli.errors import WrongUse
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
    return [_past(here, name, partition) for name, partition in pools_of(here, pool).items()]


def past_of_pool(here: Settings, pool: str) -> LedgerPast:
    """The past of this pool. WrongUse when there is no such pool."""
    return _past(here, pool, pools_of(here, pool)[pool])


def _past(here: Settings, pool: str, partition: int) -> LedgerPast:
    with database(here) as engine, engine.connect() as connection:
        at = position(connection, pool)
    remembered = [] if at is None else [Remembered("the views", at.offset)]
    return past_of_partition(here.brokers, pool, partition, ObjectStore(here), remembered)
