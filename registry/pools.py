"""Pools as the registry knows them: name and partition of `jobs`, taken from the policy, never changed."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, Engine, text

from contract.policy import Policy
from registry.errors import RegistryError


def register(engine: Engine, policy: Policy) -> tuple[str, ...]:
    """Makes every pool of the policy known; returns the names that are new. Pools no longer in the policy stay.

    RegistryError(conflict) as `check`."""
    with engine.begin() as connection:
        return register_in(connection, policy)


def register_in(connection: Connection, policy: Policy) -> tuple[str, ...]:
    """The same as a part of this transaction, which nobody else who registers pools overtakes."""
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
    """RegistryError(conflict) when a pool has another partition than it is known to have, or a partition another pool:
    either would send a model's events to a scheduler that is not its own."""
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
    """The same on this connection."""
    rows = connection.execute(text("SELECT name, partition FROM registry.pools ORDER BY name"))
    return {row.name: row.partition for row in rows}
