"""Where the past of a pool lies: its ledger, its snapshots, and what the views remember of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine

from audit.past import Past, Remembered, past_of_partition
from cli.errors import WrongUse
from registry.pools import partitions
from runtime.object_store import ObjectStore
from runtime.postgres import engine as connect
from runtime.settings import Settings
from views.projection import position


@contextmanager
def database(here: Settings) -> Iterator[Engine]:
    """Postgres, for one question."""
    engine = connect(here)
    try:
        yield engine
    finally:
        engine.dispose()


def pools_of(here: Settings, pool: str) -> dict[str, int]:
    """Partitions by pool: of this pool, or of all when it is empty. WrongUse when there is no such pool."""
    with database(here) as engine:
        known = partitions(engine)
    if not pool:
        return known
    if pool not in known:
        raise WrongUse(f"there is no pool {pool!r}; the pools are {', '.join(known)}")
    return {pool: known[pool]}


def past_of_pool(here: Settings, pool: str) -> Past:
    """WrongUse when there is no such pool."""
    partition = pools_of(here, pool)[pool]
    with database(here) as engine, engine.connect() as connection:
        at = position(connection, pool)
    remembered = [] if at is None else [Remembered("the views", at.offset)]
    return past_of_partition(here.kafka, pool, partition, ObjectStore(here), remembered)
