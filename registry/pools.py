"""Pools as the registry knows them: a name and a partition of `jobs`. Both come from the policy and never change."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, Engine, text

from contract.policy import Policy
from registry.errors import RegistryError


def register(engine: Engine, policy: Policy) -> tuple[str, ...]:
    """Makes every pool of the policy known, and returns the new names. A pool that the policy no longer has stays.

    RegistryError(conflict) as from `check`."""
    with engine.begin() as connection:
        return register_in(connection, policy)


def register_in(connection: Connection, policy: Policy) -> tuple[str, ...]:
    """`register` in this transaction. Others who register pools wait until the transaction ends."""
    connection.execute(text("LOCK TABLE registry.pools IN SHARE ROW EXCLUSIVE MODE"))
    before = known(connection)
    check(before, policy)
    new = [name for name in sorted(policy.pools) if name not in before]
    for name in new:
        connection.execute(
            text("INSERT INTO registry.pools (name, partition) VALUES (:name, :partition)"),
            {"name": name, "partition": policy.pools[name].partition},
        )
    return tuple(new)


def check(before: Mapping[str, int], policy: Policy) -> None:
    """RegistryError(conflict) when the policy gives a pool another partition than its own, or a partition to another
    pool than its own. Either would send the events of a model to the scheduler of another pool."""
    owners = {partition: name for name, partition in before.items()}
    for name, pool in sorted(policy.pools.items()):
        if before.get(name, pool.partition) != pool.partition:
            raise RegistryError(
                "conflict",
                f"pool {name!r}: expected partition {before[name]}, which it has for ever, found {pool.partition}"
                " in the policy; put the old number back, or name a new pool",
            )
        if owners.get(pool.partition, name) != name:
            raise RegistryError(
                "conflict",
                f"pool {name!r}: partition {pool.partition} belongs to pool {owners[pool.partition]!r} for ever;"
                " give the pool a partition that was never used",
            )


def partitions(engine: Engine) -> dict[str, int]:
    """Partition of `jobs` and `ledger` by pool name."""
    with engine.connect() as connection:
        return known(connection)


def known(connection: Connection) -> dict[str, int]:
    """`partitions` on this connection."""
    rows = connection.execute(text("SELECT name, partition FROM registry.pools ORDER BY name"))
    return {row.name: row.partition for row in rows}
